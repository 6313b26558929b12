import { NO_SUBSTREAM, Random } from '@smmu/platform';
import { CMD_SYNC, CMD_TLBI_NH_VA, CMDQ_CONS, CMDQ_PROD, OPCODE } from '@smmu/spec';
import type { Row, Workload } from '../row.ts';
import { SmmuRig, STREAM } from '../smmuRig.ts';

const GIB_PAGES = 2 ** 18;
const COUNT = 2 ** 17;
const BATCH = 64;

/** Translates random ones of `pages` pages. Frame numbers, because an address of 1 GiB fits an int32 only so. */
function translate(options: { sparse?: boolean; nested?: boolean }, pages: number): Workload {
  const { model } = new SmmuRig({ ...options, mapped: Math.max(pages, 512) });
  const random = new Random(1);
  const order = Uint32Array.from({ length: COUNT }, () => random.below(pages) << 12);
  const { translator } = model;
  return {
    operations: COUNT,
    round() {
      for (let i = 0; i < COUNT; i++)
        if (!translator.translate(STREAM, NO_SUBSTREAM, order[i]!, 0, 0)) throw new Error('not mapped');
    },
  };
}

export const modelRows: readonly Row[] = [
  { name: 'IOTLB hit, hot page', goal: 12, prepare: () => translate({}, 1) },
  { name: 'IOTLB hit, 1,000 pages at random', goal: 18, prepare: () => translate({}, 1000) },
  {
    name: 'IOTLB miss and fill, stage 1, random 1 GiB, flat RAM',
    goal: 70,
    prepare: () => translate({}, GIB_PAGES),
  },
  {
    name: 'IOTLB miss and fill, stage 1, random 1 GiB, sparse RAM',
    goal: 100,
    prepare: () => translate({ sparse: true }, GIB_PAGES),
  },
  { name: 'IOTLB miss and fill, nested, random', goal: 180, prepare: () => translate({ nested: true }, GIB_PAGES) },
  {
    name: 'CMD_TLBI_NH_VA built and consumed, a sync every 64',
    goal: 25,
    prepare() {
      const { memory, registers, scheduler, commandQueue, commandQueueEntries } = new SmmuRig({ mapped: 512 });
      const rounds = 256;
      const indexes = 2 * commandQueueEntries; // with the wrap bit
      let prod = 0;
      const consumed = () => registers.read32(CMDQ_CONS.offset) === prod;
      const next = () => {
        const at = memory.at(commandQueue + (prod % commandQueueEntries) * 16);
        prod = (prod + 1) % indexes;
        return at;
      };
      return {
        operations: rounds * BATCH,
        round() {
          for (let i = 0; i < rounds; i++) {
            for (let page = 0; page < BATCH - 1; page++) {
              const at = next();
              const { words } = memory;
              words.fill(0, at, at + 4);
              CMD_TLBI_NH_VA.Opcode.set(words, at, OPCODE.CMD_TLBI_NH_VA);
              CMD_TLBI_NH_VA.ASID.set(words, at, 1);
              CMD_TLBI_NH_VA.Leaf.set(words, at, true);
              CMD_TLBI_NH_VA.Addr.set(words, at, page << 12, 0);
            }
            const at = next();
            memory.words.fill(0, at, at + 4);
            CMD_SYNC.Opcode.set(memory.words, at, OPCODE.CMD_SYNC);
            registers.write32(CMDQ_PROD.offset, prod);
            if (!scheduler.spin(consumed, 1e9)) throw new Error('the command queue stands still');
          }
        },
      };
    },
  },
];
