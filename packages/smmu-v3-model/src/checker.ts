/**
 * The owed-invalidation checker: opt in, slow, and for people. Each translation is made a second time from memory alone;
 * where the two differ a stale entry was used, and the report says which invalidation is owed, and since which store.
 * IHI 0070 §3.21, §4.3, §4.4.
 */
import { hex, type PhysicalMemory, type Scheduler } from '@smmu/platform';
import { eventByCode } from '@smmu/spec';
import { ConfigCache } from './configCache.ts';
import { type Context, KIND_S2 } from './context.ts';
import { ContextTable } from './contextTable.ts';
import { Fault } from './fault.ts';
import type { ModelFeatures } from './features.ts';
import { Stage2 } from './stage2.ts';
import { StreamTable } from './streamTable.ts';
import { TagCache } from './tagCache.ts';
import { TagNumbers, WORLD_EL1 } from './tagNumbers.ts';
import { Translator } from './transaction.ts';
import { Stage1 } from './walk.ts';
import { WalkStats } from './walkStats.ts';

/** One use of something that memory no longer says. */
export interface StaleUse {
  readonly streamId: number;
  /** NO_SUBSTREAM if the transaction had none. */
  readonly substreamId: number;
  readonly address: bigint;
  readonly write: boolean;
  /** What the caches answered and what memory says: a physical address, or the name of a fault. */
  readonly cached: string;
  readonly memory: string;
  /** The invalidation that would have dropped it, as a command with its fields. */
  readonly owed: string;
  /** The latest store to what memory's answer was read from; undefined if none was seen. */
  readonly since: { readonly pa: number; readonly time: number } | undefined;
  /** A CMD_SYNC completed after that store: nothing is under way any more, the invalidation was forgotten. */
  readonly forgotten: boolean;
}

/** Stores that are remembered: the oldest go first. */
const STORES = 100_000;

/** Memory that lets everything be read, notes where, and swallows updates. */
class Shadow implements PhysicalMemory {
  lo = 0;
  hi = 0;
  readonly read: number[] = [];
  readonly #memory: PhysicalMemory;
  constructor(memory: PhysicalMemory) {
    this.#memory = memory;
  }
  read64(pa: number): boolean {
    this.read.push(pa);
    const found = this.#memory.read64(pa);
    this.lo = this.#memory.lo;
    this.hi = this.#memory.hi;
    return found;
  }
  compareExchange64(pa: number): boolean {
    return this.read64(pa);
  }
  read32(): boolean {
    return false;
  }
  write32(): boolean {
    return false;
  }
  write64(): boolean {
    return false;
  }
  readBytes(): boolean {
    return false;
  }
  writeBytes(): boolean {
    return false;
  }
}

export class Checker {
  /** Uses found so far. */
  found = 0;
  readonly #shadow: Shadow;
  readonly #scheduler: Scheduler;
  readonly #report: (use: StaleUse) => void;
  readonly #cache: ConfigCache = new ConfigCache(8);
  readonly #caches: readonly TagCache[] = [new TagCache(8), new TagCache(8), new TagCache(8)];
  readonly #streamTable: StreamTable;
  readonly #translator: Translator;
  readonly #stores: Map<number, number> = new Map();
  #synced = -1;

  constructor(
    memory: PhysicalMemory,
    words: Uint32Array,
    features: ModelFeatures,
    scheduler: Scheduler,
    report: (use: StaleUse) => void,
  ) {
    this.#scheduler = scheduler;
    this.#report = report;
    const shadow = new Shadow(memory);
    this.#shadow = shadow;
    const fault = new Fault();
    const numbers = new TagNumbers();
    const walkStats = new WalkStats();
    const configCache = this.#cache;
    const [iotlb, walks1, walks2] = this.#caches as [TagCache, TagCache, TagCache];
    const stage2 = new Stage2(shadow, features, iotlb, walks2, fault, walkStats);
    const stage1 = new Stage1(shadow, features, iotlb, walks1, stage2, fault, walkStats);
    const streamTable = new StreamTable(shadow, words, features, configCache, fault, numbers);
    const contextTable = new ContextTable(shadow, features, configCache, stage2, fault);
    const parts = {
      features,
      fault,
      configCache,
      streamTable,
      contextTable,
      iotlb,
      stage1,
      stage2,
      walkStats,
      numbers,
    };
    this.#streamTable = streamTable;
    this.#translator = new Translator(parts);
  }

  /** Memory was written: a host calls it for the stores of CPUs. */
  stored(pa: number, bytes: number): void {
    for (let at = pa - (pa % 8); at < pa + bytes; at += 8) {
      this.#stores.delete(at);
      this.#stores.set(at, this.#scheduler.now);
      if (this.#stores.size > STORES) this.#stores.delete(this.#stores.keys().next().value!);
    }
  }

  /** A CMD_SYNC completed. */
  synced(): void {
    this.#synced = this.#scheduler.now;
  }

  /** Compares what the SMMU's translator just found with what memory says. */
  check(real: Translator, done: boolean, sid: number, ssid: number, lo: number, hi: number, access: number): void {
    const cached = done ? hex(real.pa) : nameOf(real.fault.code);
    this.#forget();
    const fresh = this.#translator;
    const memory = fresh.lookup(sid, ssid, lo, hi, access) ? hex(fresh.pa) : nameOf(fresh.fault.code);
    if (memory === cached) return;
    this.found++;
    const since = this.#latest();
    const address = (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
    const owed = this.#owed(real, fresh, sid, ssid, address);
    const forgotten = since !== undefined && this.#synced >= since.time;
    this.#report({
      streamId: sid,
      substreamId: ssid,
      address,
      write: (access & 1) !== 0,
      cached,
      memory,
      owed,
      since,
      forgotten,
    });
  }

  #forget(): void {
    this.#streamTable.configure();
    this.#cache.clear();
    for (const cache of this.#caches) cache.clear();
    this.#shadow.read.length = 0;
  }

  #latest(): { pa: number; time: number } | undefined {
    let latest: { pa: number; time: number } | undefined;
    for (const pa of this.#shadow.read) {
      const time = this.#stores.get(pa);
      if (time !== undefined && (latest === undefined || time >= latest.time)) latest = { pa, time };
    }
    return latest;
  }

  /** What is stale, from the outside in: the STE, the CD, a translation. */
  #owed(real: Translator, fresh: Translator, sid: number, ssid: number, address: bigint): string {
    const context = real.known(sid, ssid);
    const stream = `StreamID=${hex(sid)}`;
    if (context === null || fresh.ste === null || !alike(context.ste, fresh.ste)) return `CMD_CFGI_STE ${stream}`;
    if (fresh.context === null || !alike(context.cd, fresh.context.cd))
      return `CMD_CFGI_CD ${stream} SubstreamID=${hex(Math.max(0, ssid))}`;
    return tlbi(context, address - (address % 4096n));
  }
}

function tlbi(context: Context, page: bigint): string {
  const vmid = `VMID=${context.ste.vmid}`;
  if (context.kind === KIND_S2) return `CMD_TLBI_S2_IPA ${vmid} Addr=${hex(page)}`;
  const asid = `ASID=${context.cd!.asid}`;
  if (context.ste.world !== WORLD_EL1) return `CMD_TLBI_EL2_VA ${asid} Addr=${hex(page)}`;
  return `CMD_TLBI_NH_VA ${vmid} ${asid} Addr=${hex(page)}`;
}

const nameOf = (code: number): string => (code === 0 ? 'silent abort' : eventByCode(code)!.name);

/** Whether two decoded structures say the same. Tag numbers are each translator's own. */
function alike(a: unknown, b: unknown): boolean {
  if (a === null || b === null || typeof a !== 'object' || typeof b !== 'object') return a === b;
  return Object.entries(a).every(
    ([key, value]) => key === 's2Number' || alike(value, (b as Record<string, unknown>)[key]),
  );
}
