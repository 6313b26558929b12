/** Registers, global bypass, and the queues' indexes. IHI 0070 §3.5, §6.2, §6.3, §7.2, §7.5. */
import type { Scenario } from '../scenario.ts';
import { CMD } from '../scene/bits.ts';
import { group } from '../scene/group.ts';
import { DATA, EVTQ, NOWHERE, SID, STRTAB } from '../scene/scene.ts';

const VA = BigInt(DATA);
const ILL = 1;

export const registers: readonly Scenario[] = [
  ...group('registers', (add) => {
    const readBack = (name: string, offset: number, value: number, expected = value, section = '6.3'): void =>
      add(`read-back-${name}`, `${name} reads back what was written`, section, (s) => {
        s.write(offset, value).read(offset, expected);
        if (offset === 0x20) s.ends('CR0ACK', expected);
      });
    readBack('CR1', 0x28, 0xd75);
    readBack('CR2', 0x2c, 2);
    readBack('IRQ_CTRL', 0x50, 5);
    readBack('STRTAB_BASE_CFG', 0x88, 0x9);
    readBack('CMDQ_CONS', 0x9c, 0);
    readBack('STRTAB_BASE_low', 0x80, 0x4010_0000);
    readBack('STRTAB_BASE_high', 0x84, 0x4000_000f);
    readBack('CMDQ_BASE_low', 0x90, 0x4020_0006);
    readBack('CMDQ_BASE_high', 0x94, 0x4000_0000);
    readBack('EVENTQ_BASE_low', 0xa0, 0x4030_0005);
    readBack('EVENTQ_BASE_high', 0xa4, 0x4000_0001);
    for (const [name, offset] of [
      ['IDR0', 0],
      ['IDR1', 4],
      ['IDR3', 0xc],
      ['IDR5', 0x14],
      ['CR0ACK', 0x24],
      ['IRQ_CTRLACK', 0x54],
      ['GERROR', 0x60],
      ['STATUSR', 0x40],
    ] as [string, number][])
      add(`read-only-${name}`, `${name} ignores writes`, '6.3', (s) => {
        s.write(offset, 0xffff_ffff);
        if (!name.startsWith('IDR')) s.read(offset, 0); // what an IDR reads as is the SMMU's own
        s.on().ste(SID, { V: 1, Config: 4 });
        s.commands(CMD.cfgiAll());
        s.reads(SID, VA, DATA);
      });
    add('cr0-ack', 'CR0 is acknowledged', '6.3.10', (s) => {
      s.write(0x20, 0xc).read(0x24, 0xc).write(0x20, 4).read(0x24, 4).write(0x20, 0).read(0x24, 0);
    });
    add('cr0-reserved', 'Reserved bits of CR0 are not acknowledged', '6.3.10', (s) => {
      s.write(0x20, 0xffff_f800 | 8)
        .read(0x24, 8)
        .ends('CR0ACK', 8);
    });
    add('cr0-reserved-read', 'Reserved bits of CR0 read as zero', '6.3.9', (s) => {
      s.write(0x20, 0xffff_f800).read(0x20, 0).ends('CR0ACK', 0);
    });
    add('cr0-priqen', 'CR0.PRIQEN is reserved without PRI', '6.3.9', (s) => {
      s.write(0x20, 2).read(0x24, 0).ends('CR0ACK', 0);
    });
    add('cr0-atschk', 'CR0.ATSCHK is reserved without ATS', '6.3.9', (s) => {
      s.write(0x20, 0x10).read(0x24, 0).ends('CR0ACK', 0);
    });
    add('cr1-reserved', 'Reserved bits of CR1 read as zero', '6.3.11', (s) => {
      s.write(0x28, 0xffff_ffff).read(0x28, 0xfff);
    });
    add('cr2-reserved', 'Reserved bits of CR2 read as zero', '6.3.12', (s) => {
      s.write(0x2c, 0xffff_fff8 | 2).read(0x2c, 2);
    });
    add('cr2-e2h', 'CR2.E2H is reserved without EL2', '6.3.12', (s) => {
      s.write(0x2c, 3).read(0x2c, 2);
    });
    add('cr2-ptm', 'CR2.PTM is reserved without broadcast maintenance', '6.3.12', (s) => {
      s.write(0x2c, 6).read(0x2c, 2);
    });
    add('irq-ctrl-ack', 'IRQ_CTRL is acknowledged', '6.3.18', (s) => {
      s.write(0x50, 5).read(0x54, 5).write(0x50, 0).read(0x54, 0);
    });
    add('irq-ctrl-reserved', 'Reserved bits of IRQ_CTRL read as zero', '6.3.17', (s) => {
      s.write(0x50, 0xffff_fff8).read(0x50, 0).read(0x54, 0);
    });
    add('irq-ctrl-priq', 'IRQ_CTRL.PRIQ_IRQEN is reserved without PRI', '6.3.17', (s) => {
      s.write(0x50, 7).read(0x50, 5);
    });
    add('strtab-base-reserved', 'Reserved bits of STRTAB_BASE read as zero', '6.3.24', (s) => {
      s.write(0x80, 0xffff_ffff).read(0x80, 0xffff_ffc0).write(0x84, 0xffff_ffff).read(0x84, 0x40ff_ffff);
    });
    add('strtab-cfg-reserved', 'Reserved bits of STRTAB_BASE_CFG read as zero', '6.3.25', (s) => {
      s.write(0x88, 0xfffc_f800).read(0x88, 0);
    });
    add('cmdq-base-reserved', 'Reserved bits of CMDQ_BASE read as zero', '6.3.26', (s) => {
      s.write(0x94, 0xffff_ffff).read(0x94, 0x40ff_ffff);
    });
    add('eventq-base-reserved', 'Reserved bits of EVENTQ_BASE read as zero', '6.3.29', (s) => {
      s.write(0xa4, 0xffff_ffff).read(0xa4, 0x40ff_ffff);
    });
    add('strtab-locked', 'STRTAB_BASE ignores writes while SMMUEN=1', '6.3.24', (s) => {
      s.ste(SID, { V: 1, Config: 4 });
      s.on()
        .write64(0x80, STRTAB + 0x10_0000)
        .read(0x80, STRTAB);
      s.commands(CMD.cfgiAll()).reads(SID, VA, DATA);
    });
    add('strtab-cfg-locked', 'STRTAB_BASE_CFG ignores writes while SMMUEN=1', '6.3.25', (s) => {
      s.ste(SID, { V: 1, Config: 4 });
      s.on().write(0x88, 2).read(0x88, 9);
      s.commands(CMD.cfgiAll()).reads(SID, VA, DATA);
    });
    add('cr2-locked', 'CR2 ignores writes while SMMUEN=1', '6.3.12', (s) => {
      s.on().write(0x2c, 0).read(0x2c, 2);
    });
    add('cmdq-base-locked', 'CMDQ_BASE ignores writes while CMDQEN=1', '6.3.26', (s) => {
      s.on().write64(0x90, NOWHERE).read(0x90, 0x4020_0006);
      s.commands(CMD.cfgiAll());
    });
    add('cmdq-cons-locked', 'CMDQ_CONS ignores writes while CMDQEN=1', '6.3.28', (s) => {
      s.on().commands(CMD.cfgiAll()).write(0x9c, 0).read(0x9c, 2);
    });
    add('eventq-base-locked', 'EVENTQ_BASE ignores writes while EVENTQEN=1', '6.3.29', (s) => {
      s.on()
        .write64(0xa0, NOWHERE)
        .read(0xa0, EVTQ + 5);
      s.faults(SID, VA, 'C_BAD_STE');
    });
    add('eventq-prod-locked', 'EVENTQ_PROD ignores writes while EVENTQEN=1', '6.3.30', (s) => {
      s.on().write(0x100a8, 3).faults(SID, VA, 'C_BAD_STE');
    });
    add('page-1-alias', 'CR0 is not in page 1', '6.1', (s) => {
      s.on().read(0x10020, 0);
    });
    add('reserved-offset', 'Reserved offsets read as zero and ignore writes', '6.2', (s) => {
      s.write(0x4c, 0xffff_ffff).read(0x4c, 0).write(0xf00, 1).read(0xf00, 0).write(0x7ffc, 5).read(0x7ffc, 0);
    });
    add('gerror-irq-cfg', 'GERROR_IRQ_CFGn are reserved without MSIs', '6.3.21', (s) => {
      s.write64(0x68, 0x1234_5678).read(0x68, 0).write(0x70, 1).read(0x70, 0).write(0x74, 1).read(0x74, 0);
    });
    add('eventq-irq-cfg', 'EVENTQ_IRQ_CFGn are reserved without MSIs', '6.3.32', (s) => {
      s.write64(0xb0, 0x1234_5678).read(0xb0, 0).write(0xb8, 1).read(0xb8, 0).write(0xbc, 1).read(0xbc, 0);
    });
    add('priq', "The PRI queue's registers are reserved without PRI", '6.3.33', (s) => {
      s.write64(0xc0, 0x4050_0005).read(0xc0, 0).write(0x100c8, 1).read(0x100c8, 0).write(0x100cc, 1).read(0x100cc, 0);
    });
    add('halves', 'A 64-bit register may be written by halves', '6.2', (s) => {
      s.ste(SID, { V: 1, Config: 4 });
      s.write(0x80, STRTAB).write(0x84, 0).write(0x88, 9).write(0x20, 1).reads(SID, VA, DATA);
    });
    add('gerrorn-idle', 'GERRORN written as GERROR stands changes nothing', '6.3.20', (s) => {
      s.on().write(0x64, 0).commands(CMD.cfgiAll());
    });
  }),
  ...group('gbpa', (add) => {
    add('pass', 'SMMUEN=0 and ABORT=0: transactions pass', '6.3.14', (s) => {
      s.write(0x44, 0x8000_1000)
        .reads(SID, VA, DATA)
        .writes(SID, VA + 4n, DATA + 4);
    });
    add('abort', 'SMMUEN=0 and ABORT=1: transactions abort without a record', '6.3.14', (s) => {
      s.on({ cr0: 0xc })
        .write(0x44, 0x8010_1000)
        .pattern(DATA, DATA + 4)
        .aborts(SID, VA)
        .aborts(SID, VA + 4n, true);
    });
    add('update', 'GBPA changes only with Update=1, which reads as 0 when done', '6.3.14', (s) => {
      s.write(0x44, 0x8010_1000).read(0x44, 0x0010_1000).write(0x44, 0x1000).read(0x44, 0x0010_1000);
      s.aborts(SID, VA).write(0x44, 0x8000_1000).read(0x44, 0x1000).reads(SID, VA, DATA);
    });
    add('enabled', 'With SMMUEN=1 GBPA does not count', '6.3.14', (s) => {
      s.ste(SID, { V: 1, Config: 4 });
      s.write(0x44, 0x8010_1000).on().reads(SID, VA, DATA).write(0x20, 0xc).aborts(SID, VA);
    });
    add('reserved', 'Reserved bits of GBPA read as zero', '6.3.14', (s) => {
      s.write(0x44, 0xffef_ffff).read(0x44, 0x000f_3f1f);
    });
    add('beyond-oas', 'SMMUEN=0: an address beyond the output size aborts', '3.4', (s) => {
      s.on({ cr0: 0xc })
        .write(0x44, 0x8000_1000)
        .aborts(SID, 1n << 44n);
    });
    add('off-no-record', 'SMMUEN=0: nothing is recorded', '3.4', (s) => {
      s.on({ cr0: 0xc }).reads(SID, VA, DATA);
    });
  }),
  ...group('queues', (add) => {
    for (const log2 of [0, 1, 3, 5])
      add(`cmdq-wrap-${log2}`, `A command queue of ${2 ** log2} entries wraps`, '3.5', (s) => {
        s.on({ cmdqLog2: log2 });
        const entries = 2 ** log2;
        for (let i = 0; i < entries * 2 + 3; i++) s.queue(CMD.sync()).ring();
        s.read(0x9c, s.prod);
      });
    add('cmdq-full', 'A full command queue is consumed whole', '3.5', (s) => {
      s.on({ cmdqLog2: 3 });
      for (let i = 0; i < 8; i++) s.queue(CMD.sync());
      s.ring().read(0x9c, 8);
    });
    add('cmdq-off', 'With CMDQEN=0 nothing is consumed', '6.3.9', (s) => {
      s.on({ cr0: 5 }).queue(CMD.sync()).write(0x98, 1).read(0x9c, 0).ends('CMDQ_PROD', 1);
    });
    add('cmdq-start', 'Setting CMDQEN starts what is queued', '6.3.9', (s) => {
      s.on({ cr0: 5 }).queue(CMD.sync(), CMD.sync()).write(0x98, 2).write(0x20, 0xd);
      s.read(0x9c, 2).ends('CMDQ_PROD', 2).ends('CMDQ_CONS', 2);
    });
    add('cmdq-not-zero', 'Queues may start at any index', '3.5', (s) => {
      s.write64(0x90, 0x4020_0006).write(0x98, 0x25).write(0x9c, 0x25);
      s.store(0x4020_0000 + 0x25 * 16, CMD.sync());
      s.write(0x20, 8).write(0x98, 0x26).read(0x9c, 0x26).ends('CMDQ_PROD', 0x26).ends('CMDQ_CONS', 0x26);
    });
    add('cmdq-log2size-large', 'CMDQ_BASE.LOG2SIZE above CMDQS acts as CMDQS', '6.3.26', (s) => {
      s.write64(0x90, 0x4000_001f).store(0x4000_0000, CMD.sync()).write(0x20, 8).write(0x98, 1);
      s.read(0x9c, 1).ends('CMDQ_PROD', 1).ends('CMDQ_CONS', 1);
    });
    add('cmdq-align', "CMDQ_BASE bits below the queue's size act as 0", '6.3.26', (s) => {
      s.store(0x4020_0000, CMD.sync());
      s.write64(0x90, 0x4020_0040 + 6)
        .write(0x20, 8)
        .write(0x98, 1);
      s.read(0x9c, 1).ends('CMDQ_PROD', 1).ends('CMDQ_CONS', 1);
    });
    for (const log2 of [0, 1, 2, 4])
      add(`evtq-wrap-${log2}`, `An event queue of ${2 ** log2} entries wraps`, '3.5', (s) => {
        s.on({ evtqLog2: log2 });
        for (let i = 0; i < 3 * 2 ** log2 + 1; i++) {
          s.faults(SID, BigInt(i * 8), 'C_BAD_STE');
          if (log2 === 0 || i % 2 ** log2 === 0 || i % 2 ** log2 === 2 ** log2 - 1) s.consumeEvents();
        }
      });
    add('evtq-exactly-full', 'An event queue may be exactly full', '3.5', (s) => {
      s.on({ evtqLog2: 2 });
      for (let i = 0; i < 4; i++) s.faults(SID, BigInt(i * 8), 'C_BAD_STE');
    });
    add('evtq-overflow', 'A record that finds the queue full is dropped and OVFLG toggles', '7.4', (s) => {
      s.on({ evtqLog2: 1 }).faults(SID, 0n, 'C_BAD_STE').faults(SID, 8n, 'C_BAD_STE').aborts(SID, 2n);
      s.ends('EVENTQ_PROD', 0x8000_0002);
    });
    add('evtq-overflow-once', 'A second drop does not toggle OVFLG back', '7.4', (s) => {
      s.on({ evtqLog2: 1 }).faults(SID, 0n, 'C_BAD_STE').faults(SID, 8n, 'C_BAD_STE').aborts(SID, 2n).aborts(SID, 3n);
      s.ends('EVENTQ_PROD', 0x8000_0002);
    });
    add('evtq-overflow-on', 'After an overflow records are written again as soon as there is room', '7.4', (s) => {
      s.on({ evtqLog2: 1 }).faults(SID, 0n, 'C_BAD_STE').faults(SID, 8n, 'C_BAD_STE').aborts(SID, 2n);
      s.consumeEvents(0x8000_0002).read(0x100a8, 0x8000_0002);
      s.faults(SID, 24n, 'C_BAD_STE').ends('EVENTQ_PROD', 0x8000_0003);
    });
    add('evtq-off', 'With EVENTQEN=0 nothing is recorded and nothing overflows', '7.4', (s) => {
      s.on({ cr0: 9 }).aborts(SID, 0n).aborts(SID, 1n);
    });
    add('evtq-abort', 'A record that cannot be written: GERROR.EVENTQ_ABT_ERR', '7.2', (s) => {
      s.evtqBase = EVTQ;
      s.write64(0x80, STRTAB)
        .write(0x88, 9)
        .write64(0xa0, NOWHERE + 5)
        .write(0x2c, 2)
        .write(0x20, 5);
      s.aborts(SID, 0n).ends('GERROR', 4);
    });
    add('evtq-page-0', 'EVENTQ_PROD in page 0 is the one of page 1', '6.1', (s) => {
      s.on().faults(SID, 0n, 'C_BAD_STE').read(0xa8, 1).read(0x100a8, 1);
    });
    add('evtq-cons-read', 'EVENTQ_CONS reads back', '6.3.31', (s) => {
      s.on().faults(SID, 0n, 'C_BAD_STE').consumeEvents(1).read(0x100ac, 1);
    });
    add('evtq-align', "EVENTQ_BASE bits below the queue's size act as 0", '6.3.29', (s) => {
      s.write64(0x80, STRTAB)
        .write(0x88, 9)
        .write64(0xa0, EVTQ + 0x40 + 5)
        .write(0x2c, 2)
        .write(0x20, 5);
      s.faults(SID, 0n, 'C_BAD_STE');
    });
    add('errors-both', 'A stopped command queue and a full event queue know nothing of each other', '7.5', (s) => {
      s.on().stops(0, ILL, CMD.raw(0xffn)).faults(SID, 0n, 'C_BAD_STE').acknowledge(1);
      s.ends('GERROR', 0).ends('GERRORN', 1);
    });
  }),
];
