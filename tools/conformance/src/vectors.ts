/**
 * Scenarios as JSON for everybody: numbers as hexadecimal strings, registers by name and offset, with a schema. An SMMU
 * in any language can be put to the same test; ours replays what it wrote.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type DmaOutcome,
  FINAL_REGISTERS,
  type FinalRegister,
  type Need,
  type Outcome,
  type Scenario,
  type Step,
} from './scenario.ts';

export const FORMAT = 'smmu-conformance/1';

type Hex = string;
type VectorStep =
  | { do: 'write' | 'write64'; register: Hex; value: Hex }
  | { do: 'read'; register: Hex; expect: Hex }
  | { do: 'store'; address: Hex; words: Hex[] }
  | {
      do: 'dma';
      streamId: Hex;
      address: Hex;
      write?: Hex;
      expect: { read?: Hex; events: Hex[][] };
    };
/** One scenario in a vector file. */
export interface Vector {
  name: string;
  title: string;
  section: string;
  needs: string[];
  memory: { address: Hex; words: Hex[] }[];
  eventQueue: { base: Hex; log2Size: number };
  steps: VectorStep[];
  expect: { registers: Record<string, Hex>; memory: { address: Hex; word: Hex }[] };
}
/** A vector file: the scenarios of one unit, and the ID registers of the SMMU that they are for. */
export interface VectorFile {
  format: typeof FORMAT;
  idRegisters: Record<string, Hex>;
  scenarios: Vector[];
}

const hex = (value: number | bigint): Hex => `0x${value.toString(16)}`;
const wide = (lo: number, hi: number): Hex => hex((BigInt(hi) << 32n) | BigInt(lo));

/** @throws Error if the scenario has no expected outcome. */
export function toVector(scenario: Scenario, outcome: Outcome): Vector {
  let read = 0;
  let dma = 0;
  const steps = scenario.steps.map((step): VectorStep => {
    switch (step.do) {
      case 'write':
        return { do: 'write', register: hex(step.offset), value: hex(step.value) };
      case 'write64':
        return { do: 'write64', register: hex(step.offset), value: wide(step.lo, step.hi) };
      case 'read':
        return { do: 'read', register: hex(step.offset), expect: hex(outcome.reads[read++]!) };
      case 'store':
        return { do: 'store', address: hex(step.at), words: step.words.map(hex) };
      default: {
        const { data, events } = outcome.dma[dma++]!;
        const common = { do: 'dma' as const, streamId: hex(step.streamId), address: wide(step.lo, step.hi) };
        const records = events.map((words) => words.map(hex));
        return step.write
          ? { ...common, write: hex(step.token), expect: { events: records } }
          : { ...common, expect: { read: hex(data), events: records } };
      }
    }
  });
  return {
    name: scenario.name,
    title: scenario.title,
    section: scenario.section,
    needs: [...scenario.needs],
    memory: scenario.image.map(({ at, words }) => ({ address: hex(at), words: words.map(hex) })),
    eventQueue: { base: hex(scenario.eventQueue.base), log2Size: scenario.eventQueue.log2Size },
    steps,
    expect: {
      registers: Object.fromEntries(Object.entries(outcome.registers).map(([name, value]) => [name, hex(value)])),
      memory: outcome.stores.map(([at, word]) => ({ address: hex(at), word: hex(word) })),
    },
  };
}

/** A 32-bit number. @throws Error naming the place. */
function word(text: unknown, place: string): number {
  if (typeof text !== 'string' || !/^0x[0-9a-f]{1,8}$/i.test(text))
    throw new Error(`${place}: '${text}' is not a 32-bit number`);
  return Number(text);
}
function address(text: unknown, place: string): number {
  const value = typeof text === 'string' && /^0x[0-9a-f]{1,16}$/i.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value) || value % 4 !== 0)
    throw new Error(`${place}: '${text}' is not a physical address of a word`);
  return value;
}
function halves(text: unknown, place: string): { lo: number; hi: number } {
  if (typeof text !== 'string' || !/^0x[0-9a-f]{1,16}$/i.test(text))
    throw new Error(`${place}: '${text}' is not a 64-bit number`);
  const value = BigInt(text);
  return { lo: Number(value & 0xffff_ffffn), hi: Number(value >> 32n) };
}

/** Reads a vector back. @throws Error naming scenario and step, if something is not as the schema says. */
export function fromVector(vector: Vector): Scenario & { readonly expect: Outcome } {
  const at = vector.name;
  const reads: number[] = [];
  const dma: DmaOutcome[] = [];
  const steps = vector.steps.map((step, i): Step => {
    const place = `${at}, step ${i}`;
    switch (step.do) {
      case 'write':
        return { do: 'write', offset: word(step.register, place), value: word(step.value, place) };
      case 'write64':
        return { do: 'write64', offset: word(step.register, place), ...halves(step.value, place) };
      case 'read':
        reads.push(word(step.expect, place));
        return { do: 'read', offset: word(step.register, place) };
      case 'store':
        return { do: 'store', at: address(step.address, place), words: step.words.map((text) => word(text, place)) };
      case 'dma': {
        const events = step.expect.events.map((record) => record.map((text) => word(text, place)));
        dma.push({ data: step.expect.read === undefined ? 0 : word(step.expect.read, place), events });
        const write = step.write !== undefined;
        const token = write ? word(step.write, place) : 0;
        return { do: 'dma', streamId: word(step.streamId, place), ...halves(step.address, place), write, token };
      }
      default:
        throw new Error(`${place}: no step is called '${(step as { do: string }).do}'`);
    }
  });
  const registers = Object.fromEntries(
    (Object.keys(FINAL_REGISTERS) as FinalRegister[]).map((name) => [
      name,
      word(vector.expect.registers[name], `${at}, ${name}`),
    ]),
  ) as Record<FinalRegister, number>;
  const stores = vector.expect.memory.map((store): [number, number] => [
    address(store.address, `${at}, expected memory`),
    word(store.word, `${at}, expected memory`),
  ]);
  return {
    name: vector.name,
    title: vector.title,
    section: vector.section,
    needs: vector.needs as Need[],
    image: vector.memory.map(({ address: start, words }) => ({
      at: address(start, `${at}, memory`),
      words: words.map((text) => word(text, `${at}, memory`)),
    })),
    steps,
    eventQueue: { base: address(vector.eventQueue.base, `${at}, event queue`), log2Size: vector.eventQueue.log2Size },
    tags: [],
    expect: { reads, dma, registers, stores },
  };
}

const ID_NAMES = ['IDR0', 'IDR1', 'IDR2', 'IDR3', 'IDR4', 'IDR5', 'IIDR', 'AIDR'];

/** Writes scenarios with what is due, a file for each unit, with schema and README. Returns the files' names. */
export function writeVectors(
  folder: string,
  id: readonly number[],
  judged: readonly (readonly [Scenario, Outcome])[],
): string[] {
  const units = new Map<string, Vector[]>();
  for (const [scenario, outcome] of judged) {
    const unit = scenario.name.split('/')[0]!;
    units.set(unit, [...(units.get(unit) ?? []), toVector(scenario, outcome)]);
  }
  mkdirSync(folder, { recursive: true });
  const idRegisters = Object.fromEntries(ID_NAMES.map((name, i) => [name, hex(id[i]!)]));
  const names: string[] = [];
  for (const [unit, scenarios] of units) {
    const file: VectorFile = { format: FORMAT, idRegisters, scenarios };
    writeFileSync(join(folder, `${unit}.json`), `${JSON.stringify(file)}\n`);
    names.push(`${unit}.json`);
  }
  writeFileSync(join(folder, 'schema.json'), `${JSON.stringify(vectorSchema, null, 2)}\n`);
  writeFileSync(join(folder, 'README.md'), VECTORS_README);
  return names;
}

/** Reads all vector files of a folder. @throws Error naming the file. */
export function readVectors(
  folder: string,
): { id: number[]; scenarios: (Scenario & { readonly expect: Outcome })[] }[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json') && name !== 'schema.json')
    .sort()
    .map((name) => {
      const path = join(folder, name);
      let file: VectorFile;
      try {
        file = JSON.parse(readFileSync(path, 'utf8')) as VectorFile;
      } catch (error) {
        throw new Error(`${path}: ${(error as Error).message}`);
      }
      if (file.format !== FORMAT) throw new Error(`${path}: format '${file.format}', expected '${FORMAT}'`);
      const id = ID_NAMES.map((register) => word(file.idRegisters[register], `${path}, ${register}`));
      return { id, scenarios: file.scenarios.map(fromVector) };
    });
}

const hexPattern = { type: 'string', pattern: '^0x[0-9a-fA-F]{1,16}$' } as const;
const words = { type: 'array', items: hexPattern } as const;
const object = (properties: object, required: readonly string[]): object => ({
  type: 'object',
  properties,
  required,
  additionalProperties: false,
});

/** JSON schema (2020-12) of a vector file. */
export const vectorSchema: object = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'SMMUv3 conformance vectors',
  ...object(
    {
      format: { const: FORMAT },
      idRegisters: {
        type: 'object',
        description: 'What the SMMU under test must offer for the results to hold.',
        additionalProperties: hexPattern,
      },
      scenarios: { type: 'array', items: { $ref: '#/$defs/scenario' } },
    },
    ['format', 'idRegisters', 'scenarios'],
  ),
  $defs: {
    scenario: object(
      {
        name: { type: 'string' },
        title: { type: 'string', description: 'The rule in words.' },
        section: { type: 'string', description: 'Section of IHI 0070.' },
        needs: {
          type: 'array',
          items: {
            enum: ['stage1', 'stage2', 'nested', '4k', '16k', '64k', 'twoLevel', 'rangeInv', 'noStage1', 'noStage2'],
          },
        },
        memory: {
          type: 'array',
          description: 'Memory before the first step; all else is zero.',
          items: object({ address: hexPattern, words }, ['address', 'words']),
        },
        eventQueue: object({ base: hexPattern, log2Size: { type: 'integer', minimum: 0, maximum: 19 } }, [
          'base',
          'log2Size',
        ]),
        steps: {
          type: 'array',
          items: {
            oneOf: [
              object({ do: { enum: ['write', 'write64'] }, register: hexPattern, value: hexPattern }, [
                'do',
                'register',
                'value',
              ]),
              object({ do: { const: 'read' }, register: hexPattern, expect: hexPattern }, ['do', 'register', 'expect']),
              object({ do: { const: 'store' }, address: hexPattern, words }, ['do', 'address', 'words']),
              object(
                {
                  do: { const: 'dma' },
                  streamId: hexPattern,
                  address: hexPattern,
                  write: {
                    ...hexPattern,
                    description: 'The word that the device writes; without it the device reads.',
                  },
                  expect: object(
                    { read: hexPattern, events: { type: 'array', items: { ...words, minItems: 8, maxItems: 8 } } },
                    ['events'],
                  ),
                },
                ['do', 'streamId', 'address', 'expect'],
              ),
            ],
          },
        },
        expect: object(
          {
            registers: { type: 'object', additionalProperties: hexPattern },
            memory: { type: 'array', items: object({ address: hexPattern, word: hexPattern }, ['address', 'word']) },
          },
          ['registers', 'memory'],
        ),
      },
      ['name', 'title', 'section', 'needs', 'memory', 'eventQueue', 'steps', 'expect'],
    ),
  },
};

const VECTORS_README = `# SMMUv3 conformance vectors

One file for each unit; \`schema.json\` is their JSON schema. Numbers are hexadecimal strings. To run them on your SMMU:

1. Pose an SMMU with the ID registers of the file, out of reset. Skip a scenario if yours cannot offer what it \`needs\`.
2. Have RAM from 0x40000000 to 0x50000000, zero but for \`memory\` (words, little-endian). Nothing answers elsewhere.
3. Do the \`steps\` in order. Let each finish (commands consumed, updates acknowledged) before the next:
   \`write\` and \`write64\` write a register (offset from the SMMU's base, page 1 from 0x10000); \`read\` reads one and
   expects a value; \`store\` is software changing memory; \`dma\` is a device reading one word, or writing the word
   \`write\`: unprivileged, data, no SubstreamID. A read that is aborted counts as 0x0.
   \`expect.events\` are the records that the transaction adds to the event queue, eight words each.
4. At the end compare the \`registers\` and the words of \`memory\` that are not as software left them. The event queue
   is left out there. CMDQ_CONS.ERR counts as 0 while GERROR.CMDQ_ERR is not active: it is UNKNOWN then.

Where the architecture lets hardware choose, these vectors expect: invalidations work at once; a valid structure or
translation is cached until an invalidation covers it and no longer; invalid ones are not cached; global entries survive
an invalidation by ASID; what is reserved reads as zero; registers that are locked while enabled ignore writes.
\`CR0ACK\` is at 0x24, \`GERROR\` 0x60, \`GERRORN\` 0x64, \`CMDQ_PROD\` 0x98, \`CMDQ_CONS\` 0x9c, \`EVENTQ_PROD\` 0x100a8,
\`EVENTQ_CONS\` 0x100ac.
`;
