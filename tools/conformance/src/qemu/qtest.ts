/**
 * A `qemu-system-aarch64` as a board with somebody else's SMMU, driven over QEMU's own test protocol.
 *
 * Commands are lines over a pair of named pipes; RAM is a file that both sides map. The one CPU sleeps in WFI and time is
 * counted in instructions (`-icount sleep=off`), so a device's timer is due as soon as QEMU looks: no test accelerator is
 * needed, which distributions leave out.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RAM_BASE, RAM_BYTES } from '../scenario.ts';

/** Releases up to 8 look for a character device of that name. */
const CHARDEV = 'qtest';
/** Where the CPU sleeps: the last page of RAM. */
const SLEEP_AT = RAM_BASE + RAM_BYTES - 4096;
/** `wfi` and a branch back to it. */
const SLEEP_CODE = [0xd503207f, 0x17ffffff];
const START_TRIES = 1500;
const START_WAIT_MS = 10;
/** Bytes of commands sent at once: a pipe holds 64 KiB, and answers must fit the other one. */
const LARGEST_SEND = 30_000;

/** QEMU ended. The message has what it printed. */
export class QemuEnded extends Error {
  override readonly name = 'QemuEnded';
}

export class Qtest {
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #out: number;
  readonly #in: number;
  readonly #buffer: Buffer = Buffer.alloc(65536);
  #rest = '';
  /** RAM as a file descriptor. Offset 0 is {@link RAM_BASE}. */
  readonly ram: number;

  private constructor(child: ChildProcess, folder: string, out: number, input: number, ram: number) {
    this.#child = child;
    this.#folder = folder;
    this.#out = out;
    this.#in = input;
    this.ram = ram;
  }

  /**
   * Starts QEMU.
   * @param binary - Name or path of qemu-system-aarch64.
   * @param args - What differs from a bare `virt` board with RAM.
   * @throws {@link QemuEnded} if it does not come up, with what it said.
   */
  static async start(binary: string, args: readonly string[]): Promise<Qtest> {
    const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'smmu-conformance-'));
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [`${pipe}.in`, `${pipe}.out`]);
    const ram = openSync(join(folder, 'ram'), 'w+');
    ftruncateSync(ram, RAM_BYTES);
    writeSync(ram, Uint8Array.from(new Uint8Array(Uint32Array.from(SLEEP_CODE).buffer)), 0, 8, SLEEP_AT - RAM_BASE);
    const log = openSync(join(folder, 'log'), 'w');
    const common = [
      ...['-object', `memory-backend-file,id=m,size=${RAM_BYTES / 2 ** 20}M,mem-path=${join(folder, 'ram')},share=on`],
      ...['-m', `${RAM_BYTES / 2 ** 20}M`, '-accel', 'tcg', '-icount', 'shift=0,sleep=off', '-cpu', 'cortex-a57'],
      ...['-device', `loader,addr=0x${SLEEP_AT.toString(16)},cpu-num=0`],
      ...['-nodefaults', '-nic', 'none', '-display', 'none', '-serial', 'none', '-monitor', 'none'],
      ...['-chardev', `pipe,id=${CHARDEV},path=${pipe}`, '-qtest', `chardev:${CHARDEV}`, '-qtest-log', 'none'],
    ];
    const child = spawn(binary, [...args, ...common], { stdio: ['ignore', log, log] });
    const tidy = (): void => {
      child.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    };
    process.once('exit', tidy);
    child.once('exit', () => process.removeListener('exit', tidy));
    let failure: Error | undefined;
    child.once('error', (error) => {
      failure = error;
    });
    // Opened for reading and writing, so that opening does not wait for QEMU; reading is polled until it answers.
    const out = openSync(`${pipe}.in`, constants.O_RDWR);
    const early = openSync(`${pipe}.out`, constants.O_RDONLY | constants.O_NONBLOCK);
    writeSync(out, `readl 0x${SLEEP_AT.toString(16)}\n`);
    const bytes = Buffer.alloc(4096);
    let answer = '';
    for (let i = 0; i < START_TRIES && !answer.endsWith('\n'); i++) {
      await new Promise((done) => setTimeout(done, START_WAIT_MS));
      try {
        answer += bytes.toString('latin1', 0, readSync(early, bytes, 0, bytes.length, null));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      }
      if (child.exitCode !== null || child.signalCode !== null || failure !== undefined) break;
    }
    if (!answer.startsWith('OK')) {
      child.kill('SIGKILL');
      const said = failure?.message ?? readFileSync(join(folder, 'log'), 'utf8').trim();
      rmSync(folder, { recursive: true, force: true });
      throw new QemuEnded(`${binary} did not come up: ${said || 'it said nothing'}`);
    }
    // From here on blocking: the end of the pipe is then the end of QEMU.
    const input = openSync(`${pipe}.out`, 'r');
    closeSync(early);
    const last = openSync(`${pipe}.in`, 'w');
    closeSync(out);
    closeSync(log);
    return new Qtest(child, folder, last, input, ram);
  }

  /** Sends command lines and returns their answers, in order. @throws {@link QemuEnded} */
  batch(lines: readonly string[]): string[] {
    const answers: string[] = [];
    let text = '';
    let waiting = 0;
    for (const [i, line] of lines.entries()) {
      text += `${line}\n`;
      waiting++;
      if (text.length < LARGEST_SEND && i + 1 < lines.length) continue;
      this.#send(text);
      this.#receive(answers, waiting);
      text = '';
      waiting = 0;
    }
    return answers;
  }

  /** A command whose answer is one number. */
  ask(line: string): number {
    return numberOf(this.batch([line])[0]!);
  }

  close(): void {
    this.#child.kill('SIGKILL');
    for (const file of [this.#out, this.#in, this.ram]) closeSync(file);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #send(text: string): void {
    try {
      writeSync(this.#out, text);
    } catch {
      this.#ended();
    }
  }

  #receive(answers: string[], count: number): void {
    const end = answers.length + count;
    while (answers.length < end) {
      const bytes = readSync(this.#in, this.#buffer, 0, this.#buffer.length, null);
      if (bytes === 0) this.#ended();
      this.#rest += this.#buffer.toString('latin1', 0, bytes);
      const lines = this.#rest.split('\n');
      this.#rest = lines.pop()!;
      for (const line of lines) if (!line.startsWith('IRQ')) answers.push(line);
    }
  }

  #ended(): never {
    const said = readFileSync(join(this.#folder, 'log'), 'utf8').trim().split('\n').at(-1) ?? '';
    throw new QemuEnded(said || 'QEMU ended without a word');
  }
}

/** The number in an answer such as `OK 0x0000000000000010`; the lower 53 bits are exact. */
export const numberOf = (answer: string): number => Number(answer.slice(3));
