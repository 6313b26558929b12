/** The PCIe side of QEMU's `virt` board: `edu` devices as bus masters, each with a StreamID of its own. */
import { writeSync } from 'node:fs';
import { MOST_TOKENS, RAM_BASE, RAM_BYTES, STREAMS, tokenOf } from '../scenario.ts';
import { numberOf, type Qtest } from './qtest.ts';

export const SMMU_BASE = 0x0905_0000;
const ECAM = 0x40_1000_0000;
/** Where the devices' registers go: 1 MiB each in the board's 32-bit PCI window. */
const BARS = 0x1000_0000;
const BRIDGE_BARS = 0x1800_0000;
/** `edu`: bus address, buffer address, count and command of its DMA engine; its buffer starts at 0x40000. */
const EDU_SRC = 0x80;
const EDU_DST = 0x88;
const EDU_COUNT = 0x90;
const EDU_COMMAND = 0x98;
const EDU_BUFFER = 0x40000;
const EDU_READ = 1;
const EDU_WRITE = 3;
/** The second half of a device's buffer holds the words that it writes, the first half what it read. */
const TOKENS_AT: number = EDU_BUFFER + 2048;
/** A page of RAM that only this file uses. */
export const SCRATCH: number = RAM_BASE + RAM_BYTES - 8192;
/** The board leaves a device tree at the start of RAM. */
const DEVICE_TREE_BYTES = 2 ** 21;
const MOST_POLLS = 100_000;

const hex = (value: number): string => `0x${value.toString(16)}`;
const config = (streamId: number, offset: number): number => ECAM + streamId * 4096 + offset;

/** Arguments that put the devices on the board. Bus 1 is behind a root port in slot 5. */
export function deviceArguments(): string[] {
  const list: string[] = [];
  for (const streamId of STREAMS.filter((id) => id < 0x100)) {
    const [slot, fn] = [streamId >> 3, streamId & 7];
    const shared = STREAMS.some((other) => other !== streamId && other >> 3 === slot);
    list.push('-device', edu(`addr=${hex(slot).slice(2)}.${fn}${shared && fn === 0 ? ',multifunction=on' : ''}`));
  }
  list.push('-device', 'pcie-root-port,id=rp0,chassis=1,slot=1,addr=5.0');
  for (const streamId of STREAMS.filter((id) => id >= 0x100)) {
    const fn = streamId & 7;
    list.push('-device', edu(`bus=rp0,addr=0.${fn}${fn === 0 ? ',multifunction=on' : ''}`));
  }
  return list;
}

const edu = (place: string): string => `edu,${place},dma_mask=0xffffffffffffffff`;

/** Addresses of the devices' registers, by StreamID. */
const barOf = (streamId: number): number =>
  (streamId < 0x100 ? BARS : BRIDGE_BARS) + STREAMS.indexOf(streamId) * 0x10_0000;

/** Sets the devices up as firmware does, and fills their buffers through an SMMU that lets everything pass. */
export function bringUp(qtest: Qtest): void {
  writeSync(qtest.ram, new Uint8Array(DEVICE_TREE_BYTES), 0, DEVICE_TREE_BYTES, 0);
  const lines = [
    `writel ${hex(config(0x28, 0x18))} 0x00010100`, // root port: bus 1 behind it
    `writel ${hex(config(0x28, 0x20))} 0x18f01800`, // its memory window
    `writew ${hex(config(0x28, 0x04))} 0x6`,
  ];
  for (const streamId of STREAMS) {
    lines.push(
      `writel ${hex(config(streamId, 0x10))} ${hex(barOf(streamId))}`,
      `writew ${hex(config(streamId, 4))} 0x6`,
    );
    lines.push(`writeq ${hex(barOf(streamId) + EDU_COUNT)} ${hex(MOST_TOKENS * 4)}`);
  }
  qtest.batch(lines);
  const tokens = Array.from({ length: MOST_TOKENS }, (_, n) => tokenOf(n));
  qtest.batch(tokens.map((token, n) => `writel ${hex(SCRATCH + n * 4)} ${hex(token)}`));
  for (const streamId of STREAMS) {
    const id = qtest.ask(`readl ${hex(barOf(streamId))}`);
    if ((id & 0xff) !== 0xed) throw new Error(`no edu device answers for StreamID ${hex(streamId)}: ${hex(id)}`);
    runDma(
      qtest,
      streamId,
      [],
      [
        `writeq ${hex(barOf(streamId) + EDU_SRC)} ${hex(SCRATCH)}`,
        `writeq ${hex(barOf(streamId) + EDU_DST)} ${hex(TOKENS_AT)}`,
        `writeq ${hex(barOf(streamId) + EDU_COMMAND)} ${EDU_READ}`,
      ],
      [],
    );
    qtest.batch([`writeq ${hex(barOf(streamId) + EDU_COUNT)} 4`]);
  }
}

/** Lines that start a one-word DMA. The n-th read lands in word n of the buffer; the n-th write takes token n. */
export function dmaLines(streamId: number, address: bigint, write: boolean, n: number): string[] {
  const bar = barOf(streamId);
  const bus = `0x${address.toString(16)}`;
  return write
    ? [
        `writeq ${hex(bar + EDU_SRC)} ${hex(TOKENS_AT + n * 4)}`,
        `writeq ${hex(bar + EDU_DST)} ${bus}`,
        `writeq ${hex(bar + EDU_COMMAND)} ${EDU_WRITE}`,
      ]
    : [
        `writeq ${hex(bar + EDU_SRC)} ${bus}`,
        `writeq ${hex(bar + EDU_DST)} ${hex(EDU_BUFFER + n * 4)}`,
        `writeq ${hex(bar + EDU_COMMAND)} ${EDU_READ}`,
      ];
}

/** Lines that copy what a device read so far to {@link SCRATCH}; the SMMU must let it pass. */
export function dumpLines(streamId: number, words: number): string[] {
  const bar = barOf(streamId);
  return [
    `writeq ${hex(bar + EDU_COUNT)} ${hex(words * 4)}`,
    `writeq ${hex(bar + EDU_SRC)} ${hex(EDU_BUFFER)}`,
    `writeq ${hex(bar + EDU_DST)} ${hex(SCRATCH)}`,
    `writeq ${hex(bar + EDU_COMMAND)} ${EDU_WRITE}`,
  ];
}
export const countLine = (streamId: number): string => `writeq ${hex(barOf(streamId) + EDU_COUNT)} 4`;

/**
 * Sends `before` and the lines that start a DMA, and waits until it is done.
 * @param ask - Lines to ask with each look; their answers at the last look are returned, after those of `before`.
 */
export function runDma(
  qtest: Qtest,
  streamId: number,
  before: readonly string[],
  start: readonly string[],
  ask: readonly string[],
): { before: string[]; last: string[] } {
  const done = `readq ${hex(barOf(streamId) + EDU_COMMAND)}`;
  const answers = qtest.batch([...before, ...start]);
  for (let i = 0; i < MOST_POLLS; i++) {
    const [command, ...rest] = qtest.batch([done, ...ask]);
    if ((numberOf(command!) & 1) === 0) return { before: answers.slice(0, before.length), last: rest };
  }
  throw new Error(`the DMA of StreamID ${hex(streamId)} does not end`);
}
