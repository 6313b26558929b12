/**
 * The ledger: where QEMU's SMMUv3 and the architecture differ, as data. A new difference fails the run, and so does one
 * that is gone. `from` is the first release that is thought to show it; `confirmed` says where it was seen.
 */
import type { LedgerEntry } from '../ledger.ts';

const LIVE = ['10.0.2'];
/** Also seen by live probes of a later release. */
const LATER = ['10.0.2', '11.1.3'];
/** First release with stage 2, and with both stages. */
const STAGE2 = '8.1';
const NESTED = '9.1';
const ANY = '7.2';

export const entries: readonly LedgerEntry[] = [
  // Stream table.
  {
    id: 'RECINVSID', from: ANY, confirmed: LIVE, section: '7.3.3', right: 'architecture',
    says: 'QEMU records C_BAD_STREAMID although CR2.RECINVSID is 0.',
    kinds: ['event none -> C_BAD_STREAMID'],
    scenarios: ['stream-table/linear-beyond-silent', 'stream-table/two-level-silent'],
    tags: [['no-recinvsid']],
  },
  {
    id: 'STRTAB-ALIGN-LINEAR', from: ANY, confirmed: LIVE, section: '6.3.24', right: 'architecture',
    says: 'QEMU clears one base bit too few of a linear stream table: bit LOG2SIZE+5 moves the table.',
    kinds: ['data aborted', 'event none -> C_BAD_STE'],
    scenarios: ['stream-table/linear-base-top'],
  },
  {
    id: 'STRTAB-ALIGN-TWO-LEVEL', from: ANY, confirmed: LIVE, section: '6.3.24', right: 'architecture',
    says: 'QEMU clears one base bit too few of a level 1 stream table.',
    kinds: ['data aborted', 'event none -> C_BAD_STREAMID'],
    scenarios: ['stream-table/two-level-base-top'],
  },
  {
    id: 'L1STD-SPAN', from: ANY, confirmed: LATER, section: '5.1', right: 'architecture',
    says: 'QEMU takes Span as the logarithm of the leaf table: twice the StreamIDs pass, and Span above SPLIT+1 is not refused.',
    kinds: ['event C_BAD_STREAMID -> *', 'event none -> *', 'data passed', 'store passed'],
    scenarios: ['stream-table/two-level-span-next', 'stream-table/two-level-span-large', 'stream-table/two-level-span-reserved'],
    tags: [['span']],
  },
  {
    id: 'L1STD-SPAN-EVENT', from: ANY, confirmed: LATER, section: '7.3.3', right: 'architecture',
    says: 'A StreamID beyond the leaf table gets C_BAD_STE instead of C_BAD_STREAMID.',
    kinds: ['event C_BAD_STREAMID -> C_BAD_STE'],
    scenarios: ['stream-table/two-level-span-far'],
    tags: [['span']],
  },
  {
    id: 'SPLIT-RESERVED', from: ANY, confirmed: LIVE, section: '6.3.25', right: 'architecture',
    says: 'QEMU splits at a reserved SPLIT value instead of acting as 6.',
    kinds: ['data aborted', 'event none -> C_BAD_STREAMID'],
    scenarios: ['stream-table/two-level-split-reserved'],
  },
  {
    id: 'L2PTR-ALIGN', from: ANY, confirmed: LIVE, section: '5.1', right: 'architecture',
    says: 'QEMU does not clear L2Ptr bits below the leaf table size.',
    kinds: ['data aborted', 'event none -> C_BAD_STE'],
    scenarios: ['stream-table/two-level-leaf-align'],
  },
  {
    id: 'FMT-STICKS', from: ANY, confirmed: LATER, section: '6.3.25', right: 'architecture',
    says: 'Once a two-level table was programmed, QEMU takes every later linear one for two-level.',
    kinds: ['data aborted', 'event none -> C_BAD_STREAMID'],
    scenarios: ['stream-table/two-level-then-linear'],
  },

  // STE and CD.
  {
    id: 'S1CONTEXTPTR-OAS', from: ANY, confirmed: LIVE, section: '5.2.2', right: 'architecture',
    says: 'An S1ContextPtr beyond the output size is fetched and fails as F_CD_FETCH instead of C_BAD_STE.',
    kinds: ['event C_BAD_STE -> F_CD_FETCH', 'event C_BAD_STE -> C_BAD_CD'],
    scenarios: ['stage1-faults/ste-s1contextptr-oas'],
    tags: [['STE.S1ContextPtr']],
  },
  {
    id: 'CD-FETCH-ADDRESS', from: ANY, confirmed: LATER, section: '7.3.10', right: 'architecture',
    says: 'F_CD_FETCH carries its address in the field of the input address.',
    kinds: ['event F_CD_FETCH.InputAddr', 'event F_CD_FETCH.Addr2*'],
    scenarios: ['stage1-faults/cd-fetch', 'nested/cd-fetch'],
    tags: [['STE.S1ContextPtr'], ['nested']],
  },
  {
    id: 'IPS-DIES', from: ANY, confirmed: LIVE, section: '5.4', right: 'architecture',
    says: 'A CD whose IPS is 6 or 7 ends QEMU with an assertion; it should act as the output size.',
    kinds: ['died'],
    scenarios: ['stage1-faults/cd-ips-reserved'],
  },
  {
    id: 'S2AA64-DIES', from: STAGE2, confirmed: LATER, section: '5.2.2', right: 'architecture',
    says: 'An STE with stage 2 and S2AA64=0 ends QEMU with an assertion instead of C_BAD_STE.',
    kinds: ['died'],
    scenarios: ['stage2/aa64'],
    tags: [['STE.S2AA64']],
  },
  {
    id: 'S1-FIELDS-OF-S2', from: STAGE2, confirmed: LIVE, section: '5.2.2', right: 'architecture',
    says: 'With Config=6 QEMU refuses an STE for S1CDMax or S1STALLD, which belong to stage 1.',
    kinds: ['data aborted', 'store aborted', 'event * -> C_BAD_STE'],
    scenarios: ['stage2/s1-fields', 'stage2/s1stalld'],
    tags: [['stage2', 'STE.S1CDMax'], ['stage2', 'STE.S1STALLD']],
  },
  {
    id: 'S2HA-S2HD', from: STAGE2, confirmed: LIVE, section: '5.2.2', right: 'architecture',
    says: 'S2HA and S2HD without hardware updates are not refused.',
    kinds: ['event C_BAD_STE -> *', 'data passed', 'store passed'],
    scenarios: ['stage2/ha', 'stage2/hd'],
    tags: [['STE.S2HA'], ['STE.S2HD']],
  },
  {
    id: 'S2TTB-HIGH', from: STAGE2, confirmed: LIVE, section: '5.2.2', right: 'architecture',
    says: 'S2TTB bits from 48 up are dropped instead of making the STE illegal.',
    kinds: ['event C_BAD_STE -> *', 'data passed', 'store passed'],
    scenarios: ['stage2/ttb-high'],
    tags: [['STE.S2TTB']],
  },
  {
    id: 'S2T0SZ-S2PS', from: '9.1', confirmed: LIVE, section: '5.2.2', right: 'architecture',
    says: 'QEMU bounds S2T0SZ by S2PS; the architecture bounds it by the IPA size, which follows from the output size.',
    kinds: ['event * -> C_BAD_STE', 'data aborted', 'store aborted'],
    scenarios: ['stage2/t0sz-ps'],
    tags: [['s2-size-above-ps'], ['STE.S2PS'], ['STE.S2T0SZ']],
  },
  {
    id: 'S2SL0-HIGH', from: STAGE2, confirmed: LIVE, section: '5.2', right: 'architecture',
    says: 'A start level so high that its table would index nothing is not refused.',
    kinds: ['event C_BAD_STE -> *', 'data passed', 'store passed'],
    scenarios: ['stage2/sl0-high', 'stage2/sl0-high-16k'],
    tags: [['STE.S2SL0'], ['STE.S2T0SZ']],
  },

  // Input addresses.
  {
    id: 'BYPASS-BEYOND-OAS', from: ANY, confirmed: LIVE, section: '3.4', right: 'architecture',
    says: 'A bypassing stream\'s address beyond the output size is passed on (and finds nothing) without F_ADDR_SIZE.',
    kinds: ['event F_ADDR_SIZE -> none'],
    scenarios: ['stage1-faults/ste-bypass-beyond-oas'],
    tags: [['pass'], ['table'], ['STE.Config']],
  },
  {
    id: 'S2-BEYOND-IAS', from: '9.1', confirmed: LIVE, section: '3.4', right: 'architecture',
    says: 'With stage 1 bypassed, an address beyond the IPA size aborts without the F_ADDR_SIZE of stage 1.',
    kinds: ['event F_ADDR_SIZE -> none'],
    scenarios: ['stage2/beyond-ias', 'stage2/silent-not-size'],
    tags: [['stage2'], ['STE.Config']],
  },
  {
    id: 'TBI1', from: ANY, confirmed: LIVE, section: '5.4', right: 'architecture',
    says: 'QEMU takes TBI0 for both halves.',
    kinds: ['event none -> F_TRANSLATION', 'event F_TRANSLATION -> *', 'event * -> F_TRANSLATION', 'data aborted', 'store aborted', 'data passed', 'store passed'],
    scenarios: ['stage1-faults/tbi1'],
    tags: [['tbi-differ']],
  },

  // Walks.
  {
    id: 'TABLE-SIZE', from: ANY, confirmed: LIVE, section: '7.3.14', right: 'architecture',
    says: 'QEMU does not check a next table\'s address against the intermediate size; it reads there.',
    kinds: ['event F_ADDR_SIZE -> *', 'event none -> F_WALK_EABT'],
    scenarios: ['stage1-faults/table-size-*', 'stage2/table-size-*'],
    tags: [['table-size']],
  },
  {
    id: 'EARLY-BLOCK', from: ANY, confirmed: LIVE, section: '7.3.13', right: 'architecture',
    says: 'Blocks at levels where the granule has none are taken for blocks instead of F_TRANSLATION.',
    kinds: ['event F_TRANSLATION -> *', 'event F_TRANSLATION.*', 'data passed', 'store passed', 'event none -> *'],
    scenarios: ['stage1-faults/no-block-*', 'stage2/no-block-16k-l1'],
    tags: [['odd-block']],
  },
  {
    id: 'UNPRIVILEGED', from: ANY, confirmed: LIVE, section: '7.3.16', right: 'architecture',
    says: 'Transactions are unprivileged, but AP[1]=0 and APTable[0]=1 do not stop them.',
    kinds: ['event F_PERMISSION -> *', 'data passed', 'store passed', 'event none -> *'],
    scenarios: ['stage1-faults/permission-privileged', 'stage1-faults/permission-privileged-ro', 'stage1-faults/aptable-no-user'],
    tags: [['no-user'], ['aptable']],
  },
  {
    id: 'ORDER-SIZE', from: ANY, confirmed: LIVE, section: '7.3.22', right: 'architecture',
    says: 'Access flag and permissions are checked before the output\'s size.',
    kinds: ['event F_ADDR_SIZE -> F_ACCESS', 'event F_ADDR_SIZE -> F_PERMISSION'],
    scenarios: ['stage1-faults/order-size-*'],
    tags: [['leaf-size'], ['STE.S2PS'], ['STE.S2T0SZ']],
  },
  {
    id: 'ORDER-APTABLE', from: ANY, confirmed: LIVE, section: '7.3.22', right: 'architecture',
    says: 'A write below a read-only table is F_PERMISSION at once, before what is wrong further down.',
    kinds: ['event F_* -> F_PERMISSION', 'event none -> F_PERMISSION'],
    scenarios: ['stage1-faults/order-aptable-translation'],
    tags: [['aptable']],
  },

  // Stage 2.
  {
    id: 'S2-CONCATENATED', from: STAGE2, confirmed: LIVE, section: '5.2', right: 'architecture',
    says: 'Where first tables are joined, QEMU clears the address bit that chose one: all but the first are not reached.',
    kinds: ['event * -> F_TRANSLATION', 'event none -> *', 'event F_* -> *', 'event F_*.S2', 'event F_*.CLASS', 'event F_*.Addr2', 'event F_*.RnW', 'data aborted', 'store aborted', 'data other', 'data passed', 'store passed'],
    scenarios: [
      'stage2/4k-43-l1', 'stage2/4k-42-l1', 'stage2/4k-40-l1', 'stage2/4k-34-l2', 'stage2/4k-32-l2', 'stage2/4k-31-l2',
      'stage2/16k-40-l2', 'stage2/16k-38-l2', 'stage2/16k-27-l3', 'stage2/64k-33-l3', 'stage2/64k-30-l3',
      'stage2/eabt-16k-l2', 'stage2/eabt-16k-l3',
    ],
    tags: [['concatenated']],
  },
  {
    id: 'IPA-LOW-BITS', from: STAGE2, confirmed: LIVE, section: '7.3.13', right: 'architecture',
    says: 'Records carry all bits of the IPA; the field is [55:12].',
    kinds: ['event *.Addr2[11:0]'],
    scenarios: ['stage2/invalid-*', 'stage2/access', 'nested/s2-translation'],
    tags: [['stage2'], ['nested']],
  },
  {
    id: 'S2-CACHED-SILENT', from: '9.2', confirmed: LIVE, section: '7.3.16', right: 'architecture',
    says: 'A cached stage 2 translation that refuses an access aborts it without a record.',
    kinds: ['event F_PERMISSION -> none'],
    scenarios: ['stage2/read-only-cached', 'stage2/write-only-cached'],
    tags: [['stage2']],
  },
  {
    id: 'NESTED-S2-BIT', from: '9.2', confirmed: LIVE, section: '7.3.13', right: 'architecture',
    says: 'Stage 2 faults on stage 1\'s tables below the first are recorded with S2=0.',
    kinds: ['event *.S2'],
    scenarios: ['nested/table-translation', 'nested/table-permission', 'nested/table-permission-write', 'nested/table-access', 'nested/table-eabt-s2'],
    tags: [['nested']],
  },
  {
    id: 'NESTED-TTRNW', from: '9.2', confirmed: LIVE, section: '7.3.16', right: 'architecture',
    says: 'F_PERMISSION of CLASS TT lacks TTRnW.',
    kinds: ['event F_PERMISSION.TTRnW'],
    scenarios: ['nested/table-permission', 'nested/table-permission-write'],
    tags: [['nested']],
  },
  {
    id: 'NESTED-CACHED-IPA', from: '9.2', confirmed: LIVE, section: '7.3.16', right: 'architecture',
    says: 'A cached nested translation that refuses an access is recorded with IPA 0.',
    kinds: ['event F_PERMISSION.Addr2'],
    scenarios: ['nested/s2-permission'],
    tags: [['nested']],
  },
  {
    id: 'NESTED-EABT-ADDRESS', from: '9.2', confirmed: LIVE, section: '7.3.12', right: 'architecture',
    says: 'F_WALK_EABT of a stage 2 descriptor on the way to a stage 1 table carries the table\'s IPA.',
    kinds: ['event F_WALK_EABT.Addr2'],
    scenarios: ['nested/table-eabt-s2'],
    tags: [['nested']],
  },

  {
    id: 'NESTED-WRITE-ONLY', from: '9.2', confirmed: LIVE, section: '7.3.16', right: 'architecture',
    says: 'Once a write went through a write-only stage 2 page, reads of it pass from the cache.',
    kinds: ['event F_PERMISSION -> none', 'data passed'],
    scenarios: ['nested/s2-write-only-cached'],
    tags: [['nested', 'write-only']],
  },
  {
    id: 'NESTED-RNW', from: '9.2', confirmed: LIVE, section: '7.3.13', right: 'architecture',
    says: 'What goes wrong while a CD or its first table is fetched is recorded with RnW=1, whatever the transaction was.',
    kinds: ['event F_*.RnW'],
    scenarios: ['nested/cd-translation-write'],
    tags: [['nested']],
  },
  {
    id: 'NESTED-TTB-EARLY', from: '9.2', confirmed: LIVE, section: '7.3.22', right: 'architecture',
    says: 'First tables go through stage 2 when the CD is read, also those that the address does not need.',
    kinds: ['event F_TRANSLATION.*', 'event * -> F_*', 'event F_* -> none', 'data aborted', 'store aborted'],
    scenarios: ['nested/ttb-late', 'nested/ttb-late-epd'],
    tags: [['tables-unmapped'], ['CD.other-half', 'nested']],
  },
  {
    id: 'NESTED-S2R', from: '9.2', confirmed: LIVE, section: '3.12', right: 'architecture',
    says: 'Whether stage 2 faults on stage 1\'s tables are recorded follows CD.R instead of S2R.',
    kinds: ['event none -> F_*', 'event F_* -> none'],
    scenarios: ['nested/table-silent', 'nested/table-silent-s1'],
    tags: [['nested', 'record-differ']],
  },
  {
    id: 'NESTED-TABLE-IPA', from: '9.2', confirmed: LIVE, section: '7.3.13', right: 'architecture',
    says: 'Stage 2 faults on tables larger than 4 KiB are recorded with the IPA of the table instead of the descriptor.',
    kinds: ['event F_*.Addr2'],
    scenarios: ['nested/table-ipa'],
    tags: [['nested', 'large-tables']],
  },

  // Invalidation.
  {
    id: 'ASID-GLOBAL', from: ANY, confirmed: LIVE, section: '4.4.2.2', right: 'either',
    says: 'CMD_TLBI_NH_ASID drops global entries as well: more than it must.',
    kinds: ['data other'],
    scenarios: ['invalidation/nh-asid-global'],
  },
  {
    id: 'VA-GLOBAL', from: ANY, confirmed: LIVE, section: '4.4.2.4', right: 'architecture',
    says: 'CMD_TLBI_NH_VA of another ASID leaves a global entry in place: nG is not looked at.',
    kinds: ['data other'],
    scenarios: ['invalidation/nh-va-global'],
  },

  // Commands.
  {
    id: 'SYNC-CS3', from: ANY, confirmed: LATER, section: '4.7.3', right: 'architecture',
    says: 'CMD_SYNC with the reserved CS=3 is consumed.',
    kinds: ['GERROR', 'CMDQ_CONS'],
    scenarios: ['commands/ill-sync-cs-3'],
    tags: [['opcode-0x46']],
  },
  {
    id: 'ABSENT-COMMANDS', from: ANY, confirmed: LATER, section: '4.1', right: 'architecture',
    says: 'Commands of features that are not there are consumed instead of CERROR_ILL.',
    kinds: ['GERROR', 'CMDQ_CONS'],
    scenarios: [
      'commands/ill-resume', 'commands/ill-stall-term', 'commands/ill-atc-inv', 'commands/ill-pri-resp', 'commands/ill-el2-*', 'commands/ill-el3-*',
    ],
    tags: ['0x18', '0x1a', '0x20', '0x21', '0x22', '0x23', '0x40', '0x41', '0x44', '0x45'].map((code) => [`opcode-${code}`]),
  },
  {
    id: 'PREFETCH-SSEC', from: ANY, confirmed: LIVE, section: '4.2.1', right: 'architecture',
    says: 'Prefetches with SSec=1 are consumed.',
    kinds: ['GERROR', 'CMDQ_CONS'],
    scenarios: ['commands/ill-prefetch-*'],
    tags: [['opcode-0x1'], ['opcode-0x2']],
  },
  {
    id: 'RANGE-NOTHING', from: ANY, confirmed: LIVE, section: '4.4.1.1', right: 'architecture',
    says: 'A TLBI with TG but neither NUM, SCALE nor TTL is carried out instead of CERROR_ILL.',
    kinds: ['GERROR', 'CMDQ_CONS'],
    scenarios: ['commands/ill-range-*'],
    tags: ['0x12', '0x13', '0x2a'].map((code) => [`opcode-${code}`, 'raw-command']),
  },

  // Registers and queues.
  {
    id: 'RES0-READ-BACK', from: '8.0', confirmed: LIVE, section: '6.3', right: 'architecture',
    says: 'Reserved register bits read back as written.',
    kinds: ['read 0x*'],
    scenarios: [
      'registers/cr0-reserved-read', 'registers/cr1-reserved', 'registers/cr2-reserved', 'registers/cr2-e2h', 'registers/cr2-ptm', 'registers/irq-ctrl-reserved', 'registers/irq-ctrl-priq',
      'registers/strtab-base-reserved', 'registers/strtab-cfg-reserved', 'registers/cmdq-base-reserved', 'registers/eventq-base-reserved', 'gbpa/reserved',
    ],
  },
  {
    id: 'CR0-ABSENT', from: ANY, confirmed: LIVE, section: '6.3.9', right: 'architecture',
    says: 'CR0 bits of absent features (PRIQEN, ATSCHK) are acknowledged.',
    kinds: ['read 0x24', 'CR0ACK'],
    scenarios: ['registers/cr0-priqen', 'registers/cr0-atschk'],
  },
  {
    id: 'LOCKED-REGISTERS', from: ANY, confirmed: LATER, section: '6.3', right: 'either',
    says: 'Registers that are locked while enabled take writes; before SMMUv3.2, which QEMU does not claim, that is unpredictable.',
    kinds: ['*'],
    scenarios: [
      'registers/strtab-locked', 'registers/strtab-cfg-locked', 'registers/cr2-locked', 'registers/cmdq-base-locked', 'registers/cmdq-cons-locked',
      'registers/eventq-base-locked', 'registers/eventq-prod-locked',
    ],
  },
  {
    id: 'PAGE-1-ALIAS', from: ANY, confirmed: LIVE, section: '6.1', right: 'either',
    says: 'All of page 0 is seen in page 1.',
    kinds: ['read 0x10020'],
    scenarios: ['registers/page-1-alias'],
  },
  {
    id: 'IRQ-CFG', from: ANY, confirmed: LIVE, section: '6.3.21', right: 'architecture',
    says: 'MSI configuration registers hold values although there are no MSIs.',
    kinds: ['read 0x*'],
    scenarios: ['registers/gerror-irq-cfg'],
  },
  {
    id: 'EVENTQ-OVERFLOW', from: ANY, confirmed: LATER, section: '7.4', right: 'architecture',
    says: 'A full event queue raises GERROR.EVENTQ_ABT_ERR and does not toggle OVFLG.',
    kinds: ['GERROR', 'EVENTQ_PROD', 'read 0x100a8', 'event * -> none', 'event none -> *'],
    scenarios: ['queues/evtq-overflow', 'queues/evtq-overflow-once', 'queues/evtq-overflow-on'],
    tags: [['small-evtq']],
  },
  {
    id: 'QUEUE-ALIGN', from: ANY, confirmed: LIVE, section: '6.3.29', right: 'architecture',
    says: 'Queue base bits below the queue\'s size are not cleared.',
    kinds: ['event C_BAD_STE -> *', 'CMDQ_CONS', 'GERROR', 'read 0x9c'],
    scenarios: ['queues/evtq-align', 'queues/cmdq-align'],
  },
];
