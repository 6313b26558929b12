/** Command errors and harmless commands. IHI 0070 §4.1, §4.8, §7.1. */
import type { Scenario } from '../scenario.ts';
import { CMD, type Command, secure } from '../scene/bits.ts';
import { group } from '../scene/group.ts';
import { CMDQ, DATA, NOWHERE, SID } from '../scene/scene.ts';

const ILL = 1;
const ABT = 2;

export const commands: readonly Scenario[] = group('commands', (add) => {
  const illegal = (name: string, title: string, section: string, command: Command): void =>
    add(`ill-${name}`, `${title}: CERROR_ILL`, section, (s) => {
      s.ste(SID, { V: 1, Config: 4 });
      s.on().stops(1, ILL, CMD.sync(), command, CMD.sync()).reads(SID, BigInt(DATA), DATA);
    });
  const legal = (name: string, title: string, section: string, ...list: Command[]): void =>
    add(`ok-${name}`, title, section, (s) => {
      s.ste(SID, { V: 1, Config: 4 });
      s.on()
        .commands(...list)
        .reads(SID, BigInt(DATA), DATA);
    });

  for (const opcode of [0x00, 0x08, 0x0f, 0x14, 0x1f, 0x31, 0x3f, 0x47, 0x7f, 0x80, 0xff])
    illegal(
      `opcode-0x${opcode.toString(16)}`,
      `Opcode 0x${opcode.toString(16)} is reserved`,
      '4.1.3',
      CMD.raw(BigInt(opcode)),
    );
  illegal('sync-cs-3', 'CMD_SYNC with CS=3', '4.7.3', CMD.sync(3));
  illegal('resume', 'CMD_RESUME where no stalls exist', '4.7.1', CMD.resume(SID));
  illegal('stall-term', 'CMD_STALL_TERM where no stalls exist', '4.7.2', CMD.stallTerm(SID));
  illegal('atc-inv', 'CMD_ATC_INV without ATS', '4.5.1', CMD.atcInv(SID));
  illegal('pri-resp', 'CMD_PRI_RESP without PRI', '4.5.2', CMD.priResp(SID));
  illegal('el2-all', 'CMD_TLBI_EL2_ALL without EL2', '4.4.2.7', CMD.el2All());
  illegal('el2-asid', 'CMD_TLBI_EL2_ASID without EL2', '4.4.2.10', CMD.el2Asid(1));
  illegal('el2-va', 'CMD_TLBI_EL2_VA without EL2', '4.4.2.8', CMD.el2Va(0x1000n));
  illegal('el2-vaa', 'CMD_TLBI_EL2_VAA without EL2', '4.4.2.9', CMD.el2Vaa(0x1000n));
  illegal('el3-all', 'CMD_TLBI_EL3_ALL off the Secure queue', '4.4.2.5', CMD.raw(0x18n));
  illegal('el3-va', 'CMD_TLBI_EL3_VA off the Secure queue', '4.4.2.6', CMD.raw(0x1an));
  illegal('snh-all', 'CMD_TLBI_SNH_ALL off the Secure queue', '4.4.4.2', CMD.raw(0x60n));
  illegal('s-el2-all', 'CMD_TLBI_S_EL2_ALL off the Secure queue', '4.4.2.11', CMD.raw(0x50n));
  illegal('vms-pidm', 'CMD_CFGI_VMS_PIDM without MPAM', '4.3.5', CMD.raw(0x07n));
  illegal('dpti-all', 'CMD_DPTI_ALL without a device permission table', '4.6.1', CMD.raw(0x70n));
  illegal('cfgi-ste-secure', 'CMD_CFGI_STE with SSec=1', '4.3.1', secure(CMD.cfgiSte(SID)));
  illegal('cfgi-range-secure', 'CMD_CFGI_STE_RANGE with SSec=1', '4.3.2', secure(CMD.cfgiSteRange(SID, 2)));
  illegal('cfgi-all-secure', 'CMD_CFGI_ALL with SSec=1', '4.3.6', secure(CMD.cfgiAll()));
  add('ill-cfgi-cd-secure', 'CMD_CFGI_CD with SSec=1: CERROR_ILL', '4.3.3', (s) => {
    s.need('stage1')
      .on()
      .stops(0, ILL, secure(CMD.cfgiCd(SID)));
  });
  add('ill-cfgi-cd-all-secure', 'CMD_CFGI_CD_ALL with SSec=1: CERROR_ILL', '4.3.4', (s) => {
    s.need('stage1')
      .on()
      .stops(0, ILL, secure(CMD.cfgiCdAll(SID)));
  });
  illegal('prefetch-config-secure', 'CMD_PREFETCH_CONFIG with SSec=1', '4.2.1', secure(CMD.prefetchConfig(SID)));
  illegal('prefetch-addr-secure', 'CMD_PREFETCH_ADDR with SSec=1', '4.2.2', secure(CMD.prefetchAddr(SID, 0n)));
  for (const [name, command] of [
    ['nh-va', CMD.nhVa(0x1000n, { tg: 1 })],
    ['nh-vaa', CMD.nhVaa(0x1000n, { tg: 1 })],
    ['nh-va-16k-ttl1', CMD.nhVa(0x4000n, { tg: 2, ttl: 1 })],
  ] as [string, Command][])
    add(`ill-range-${name}`, `TG without NUM, SCALE and TTL (${name}): CERROR_ILL`, '4.4.1.1', (s) => {
      s.need('rangeInv', 'stage1').on().stops(0, ILL, command);
    });
  add('ill-range-s2-ipa', 'CMD_TLBI_S2_IPA with TG without NUM, SCALE and TTL: CERROR_ILL', '4.4.1.1', (s) => {
    s.need('rangeInv', 'stage2')
      .on()
      .stops(0, ILL, CMD.s2Ipa(0x1000n, { tg: 1 }));
  });
  add('ill-no-stage2', 'Stage 2 invalidations without stage 2: CERROR_ILL', '4.4.3.2', (s) => {
    s.need('noStage2').on().stops(0, ILL, CMD.s12Vmall());
  });
  add('ill-no-stage2-ipa', 'CMD_TLBI_S2_IPA without stage 2: CERROR_ILL', '4.4.3.1', (s) => {
    s.need('noStage2').on().stops(0, ILL, CMD.s2Ipa(0x1000n));
  });

  for (const [name, command] of [
    ['cfgi-cd', CMD.cfgiCd(SID)],
    ['cfgi-cd-all', CMD.cfgiCdAll(SID)],
    ['nh-all', CMD.nhAll()],
    ['nh-asid', CMD.nhAsid(1)],
    ['nh-va', CMD.nhVa(0x1000n)],
    ['nh-vaa', CMD.nhVaa(0x1000n)],
  ] as [string, Command][])
    add(`ill-no-stage1-${name}`, `Stage 1 invalidations without stage 1 (${name}): CERROR_ILL`, '4.3.3', (s) => {
      s.need('noStage1').on().stops(0, ILL, command);
    });

  legal('sync', 'CMD_SYNC without a signal', '4.7.3', CMD.sync(0));
  legal('sync-irq', 'CMD_SYNC with CS=1 and no MSI', '4.7.3', CMD.sync(1));
  legal('sync-sev', 'CMD_SYNC with CS=2 acts as CS=0 without SEV', '4.7.3', CMD.sync(2));
  legal('prefetch', 'Prefetches are hints', '4.2', CMD.prefetchConfig(SID), CMD.prefetchAddr(SID, 0x1000n));
  legal(
    'prefetch-bad',
    'A prefetch of a bad stream records nothing',
    '4.2',
    CMD.prefetchConfig(0xffff),
    CMD.prefetchAddr(0x7777, 0n),
  );
  legal(
    'cfgi',
    'Configuration invalidations of streams that nobody uses',
    '4.3',
    CMD.cfgiSte(0xffff),
    CMD.cfgiSteRange(0x100, 7),
    CMD.cfgiAll(),
  );
  legal('tlbi', 'TLB invalidations of what is not cached', '4.4', CMD.nsnhAll());
  legal('sid-wide', 'CMD_CFGI_STE of a StreamID beyond SIDSIZE', '4.3.1', CMD.cfgiSte(0xffff_ffff));

  add('abt', 'An aborted read of a command: CERROR_ABT', '7.1', (s) => {
    s.ste(SID, { V: 1, Config: 4 });
    s.cmdqBase = NOWHERE;
    s.on({ cmdqBase: NOWHERE, cmdqLog2: 6 });
    s.write(0x98, 2).reads(SID, BigInt(DATA), DATA);
    s.ends('CMDQ_PROD', 2)
      .ends('CMDQ_CONS', (ABT << 24) >>> 0)
      .ends('GERROR', 1);
  });
  add('stops', 'After an error nothing is consumed', '7.1', (s) => {
    s.on().stops(0, ILL, CMD.raw(0xffn));
    s.queue(CMD.sync(), CMD.sync()).write(0x98, s.prod).ends('CMDQ_PROD', 3);
  });
  add('resumes', 'After the acknowledge the command is read again', '7.1', (s) => {
    s.on().stops(1, ILL, CMD.sync(), CMD.raw(0xffn), CMD.sync());
    s.store(CMDQ + 16, CMD.cfgiAll());
    s.acknowledge(1).ends('CMDQ_CONS', 3);
  });
  add('resumes-further', 'After the acknowledge later commands are consumed', '7.1', (s) => {
    s.on().stops(0, ILL, CMD.raw(0xffn));
    s.store(CMDQ, CMD.sync());
    s.acknowledge(1).queue(CMD.sync()).write(0x98, s.prod);
    s.ends('CMDQ_PROD', 2).ends('CMDQ_CONS', 2);
  });
  add('ill-again', 'An acknowledged error that is still there comes again', '7.1', (s) => {
    s.on().stops(0, ILL, CMD.raw(0xffn));
    s.acknowledge(1).ends('GERROR', 0).ends('GERRORN', 1);
  });
  add('still-translates', 'A stopped command queue stops no transactions', '7.1', (s) => {
    s.ste(SID, { V: 1, Config: 4 });
    s.on().reads(SID, BigInt(DATA), DATA).stops(0, ILL, CMD.raw(0n));
    s.reads(SID, BigInt(DATA + 4), DATA + 4).writes(SID, BigInt(DATA + 8), DATA + 8);
  });
  add('before-takes-effect', 'Commands before an illegal one take effect', '7.1', (s) => {
    s.ste(SID, { V: 1, Config: 4 });
    s.on().reads(SID, BigInt(DATA), DATA);
    s.ste(SID, { V: 1, Config: 0 });
    s.stops(2, ILL, CMD.cfgiSte(SID), CMD.sync(), CMD.raw(0xffn)).aborts(SID, BigInt(DATA));
  });
});
