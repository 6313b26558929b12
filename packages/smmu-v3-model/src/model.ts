/**
 * An SMMUv3 put together: registers in front, transactions in, memory behind. IHI 0070; QEMU hw/arm/smmuv3.c for the
 * same role. It keeps nothing that software could not have told it through memory and registers.
 */
import type {
  AtsEndpoint,
  AtsPort,
  AtsRequest,
  AtsStatus,
  DmaPort,
  DmaRequest,
  DmaStatus,
  MmioWindow,
  PageRequestMessage,
  PhysicalMemory,
  Scheduler,
  Trace,
} from '@smmu/platform';
import { CR2, GBPA } from '@smmu/spec';
import { ATC_TIMEOUT_NS, AtcInvalidations } from './atcInvalidation.ts';
import { Atos } from './atos.ts';
import { AtsUnit } from './ats.ts';
import {
  type AttributeOverrides,
  combineAttributes,
  combineShareability,
  DEFAULT_ATTRIBUTES,
  type MemoryAttributes,
  overrideAttributes,
} from './attributes.ts';
import { type Broadcast, broadcast } from './btm.ts';
import { Checker, type StaleUse } from './checker.ts';
import { CommandQueue } from './commandQueue.ts';
import { CommandTarget } from './commands/command.ts';
import { ConfigCache } from './configCache.ts';
import { KIND_BYPASS, KIND_S2 } from './context.ts';
import { ContextTable } from './contextTable.ts';
import { Control, type ControlActions } from './control.ts';
import { BITS_FRAGMENT } from './entryBits.ts';
import { EventQueue } from './eventQueue.ts';
import { Fault } from './fault.ts';
import { features, type ModelFeatures } from './features.ts';
import { GlobalErrors } from './gerror.ts';
import { Ingress } from './ingress.ts';
import { type InterruptLines, Interrupts } from './interrupts.ts';
import { Invalidator } from './invalidate.ts';
import { PriQueue } from './pri.ts';
import { RegisterFile, word } from './registers.ts';
import { Stage2 } from './stage2.ts';
import { StallBuffer } from './stall.ts';
import { type ModelStats, namedCounts } from './stats.ts';
import { StreamTable } from './streamTable.ts';
import { TagCache } from './tagCache.ts';
import { TagNumbers } from './tagNumbers.ts';
import { accessOf, Translator } from './transaction.ts';
import { Stage1 } from './walk.ts';
import { WalkStats } from './walkStats.ts';

export interface SmmuOptions {
  /** Memory as the SMMU and the devices behind it see it. */
  readonly memory: PhysicalMemory;
  readonly scheduler: Scheduler;
  readonly interrupts: InterruptLines;
  /** What differs from {@link FULL}. */
  readonly features?: Partial<ModelFeatures>;
  readonly trace?: Trace | undefined;
  /** A CMD_SYNC with CS=2 completed: the wake-up event that a CPU in WFE waits for. */
  readonly onWake?: () => void;
  /** Switches the owed-invalidation checker on: told of each use of something stale. Slow. See {@link SmmuV3Model.stored}. */
  readonly onStale?: (use: StaleUse) => void;
  /** Virtual nanoseconds that a CMD_SYNC waits for ATC invalidations; 100 ms if left out. */
  readonly atcTimeout?: number;
}

export class SmmuV3Model implements DmaPort, AtsPort {
  /** What this SMMU can do. */
  readonly features: ModelFeatures;
  /** Register pages 0 and 1, 128 KiB: place it on the bus. */
  readonly window: MmioWindow;
  /** Looks an address up without moving data; see {@link Translator.translate}. Counts as no transaction. */
  readonly translator: Translator;
  readonly #registers: RegisterFile;
  readonly #scheduler: Scheduler;
  readonly #control: Control;
  readonly #ingress: Ingress;
  readonly #events: EventQueue;
  readonly #stalls: StallBuffer;
  readonly #commands: CommandQueue;
  readonly #ats: AtsUnit;
  readonly #atos: Atos;
  readonly #pri: PriQueue;
  readonly #iotlb: TagCache;
  readonly #walkStats: WalkStats = new WalkStats();
  readonly #configCache: ConfigCache;
  readonly #streamTable: StreamTable;
  readonly #invalidator: Invalidator;
  #checker: Checker | null = null;

  /** @throws {@link IommuError} `EINVAL` if no SMMU can have those features together. */
  constructor(options: SmmuOptions) {
    const { memory, scheduler, interrupts, trace, onStale, onWake, atcTimeout } = options;
    const f = features(options.features);
    this.features = f;
    this.#scheduler = scheduler;
    const registers = new RegisterFile(f, (offset) => this.#control.written(offset));
    const { words } = registers;
    this.#registers = registers;
    this.window = registers;
    const errors = new GlobalErrors(words);
    const signals = new Interrupts(memory, words, f, interrupts, errors);
    const fault = new Fault();
    // Caches.
    const configCache = new ConfigCache(f.configEntries);
    const iotlb = new TagCache(f.iotlbEntries, BITS_FRAGMENT);
    const walks1 = new TagCache(f.walkCacheEntries);
    const walks2 = new TagCache(f.walkCacheEntries);
    const numbers = new TagNumbers();
    const invalidator = new Invalidator(iotlb, walks1, walks2, numbers);
    numbers.onExhausted = () => {
      configCache.clear();
      invalidator.all();
    };
    this.#configCache = configCache;
    this.#iotlb = iotlb;
    this.#invalidator = invalidator;
    // Translation.
    const walkStats = this.#walkStats;
    const stage2 = new Stage2(memory, f, iotlb, walks2, fault, walkStats);
    const stage1 = new Stage1(memory, f, iotlb, walks1, stage2, fault, walkStats);
    const streamTable = new StreamTable(memory, words, f, configCache, fault, numbers);
    const contextTable = new ContextTable(memory, f, configCache, stage2, fault);
    const parts = {
      features: f,
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
    const translator = new Translator(parts);
    this.#streamTable = streamTable;
    this.translator = translator;
    // Transactions.
    const events = new EventQueue(memory, words, f, errors, signals);
    const ingress = new Ingress({ memory, words, features: f, scheduler, translator, events });
    const stalls = new StallBuffer(f, scheduler, events, trace, (request) => ingress.run(request));
    const ats = new AtsUnit(f, words, translator, iotlb, stage2, (subject, access) => ingress.record(subject, access));
    const { endpoints } = ats;
    const record = (message: PageRequestMessage): void => ingress.record(message, 0);
    const pri = { memory, words, features: f, errors, interrupts: signals, translator, endpoints, record };
    this.#pri = new PriQueue(pri);
    this.#events = events;
    this.#ingress = ingress;
    this.#stalls = stalls;
    this.#ats = ats;
    this.#atos = new Atos(f, words, translator, iotlb);
    // Commands.
    const atc = new AtcInvalidations();
    this.#commands = new CommandQueue({
      memory,
      words,
      scheduler,
      errors,
      interrupts: signals,
      target: new CommandTarget(words, f, configCache, invalidator, stalls, translator, atc, endpoints),
      trace,
      atcTimeout: atcTimeout ?? ATC_TIMEOUT_NS,
      onSync: onStale === undefined ? undefined : () => this.#checker!.synced(),
      onWake: onWake ?? (() => {}),
    });
    atc.onDone = () => this.#commands.resumeSync();
    this.#control = new Control(words, scheduler, this.#actions());
    ingress.control = this.#control;
    ingress.stalls = stalls;
    ingress.ats = ats;
    if (onStale !== undefined) this.#checker = new Checker(memory, words, f, scheduler, onStale);
    ingress.checker = this.#checker;
  }

  /** What register writes set off. */
  #actions(): ControlActions {
    return {
      onEnable: (enabled) => {
        this.#ingress.enabled = enabled;
        if (enabled) this.#streamTable.configure();
        else this.#stalls.terminateAll();
      },
      onEventsOn: () => {
        this.#events.configure();
        this.#stalls.kick();
      },
      onEventRoom: () => this.#stalls.kick(),
      onPageRequestsOn: () => this.#pri.configure(),
      onCommands: () => this.#commands.kick(),
      onCommandsOn: () => {
        this.#commands.configure();
        this.#commands.kick();
      },
      onCommandsOff: () => this.#commands.stop(),
      onAtos: () => this.#ingress.exclusively(() => this.#atos.run()),
      onVmidWildcard: (bits) => {
        this.#invalidator.vmidMask = (0xffff << bits) & 0xffff;
      },
    };
  }

  /**
   * Carries out a transaction of a device, or holds it. Answers DMA_OK, DMA_ABORT, or DMA_PENDING if it stalls: then
   * `request.complete` is called from a hardware task after software answered.
   *
   * A request that leaves its naturally aligned 4 KiB is an unsupported transaction (F_UUT). One that arrives while the
   * SMMU itself stores to memory, as a store observer can make happen, waits for a moment (DMA_PENDING).
   *
   * @throws {@link IommuError} `EINVAL` if the request's bytes lie outside its own buffer.
   */
  submit(request: DmaRequest): DmaStatus {
    return this.#ingress.submit(request);
  }

  /**
   * Memory type and shareability that a transaction would go on with, or undefined if it would not go on. It is looked up
   * as the transaction would be, but moves no data and records nothing.
   * @param incoming - What the device says; write-back and non-shareable if left out (§13.1.3).
   */
  attributes(request: DmaRequest, incoming: MemoryAttributes = DEFAULT_ATTRIBUTES): MemoryAttributes | undefined {
    const ingress = this.#ingress;
    if (!ingress.enabled) {
      const { gbpa } = this.#control;
      return GBPA.fields.ABORT.of(gbpa) ? undefined : overrideAttributes(incoming, this.#globalOverrides(gbpa));
    }
    return ingress.exclusively(() => {
      const { translator } = this;
      const { streamId, substreamId, addressLo, addressHi } = request;
      const access = accessOf(request.write, request.instruction, request.privileged);
      if (!translator.lookup(streamId >>> 0, substreamId, addressLo, addressHi, access)) return undefined;
      const { kind, ste } = translator.context!;
      if (kind === KIND_BYPASS) return overrideAttributes(incoming, ste);
      const cached = this.#iotlb.attributes[this.#iotlb.indexOf(translator.entry(addressLo, addressHi))]!;
      if (kind !== KIND_S2) return { type: cached & 0xff, shareability: cached >>> 8 };
      const first = overrideAttributes(incoming, ste);
      const type = combineAttributes(first.type, cached & 0xff, ste.s2Fwb);
      return { type, shareability: combineShareability(type, first.shareability, cached >>> 8) };
    });
  }

  #globalOverrides(gbpa: number): AttributeOverrides {
    if (!this.features.attrTypesOverride) return { memAttr: 0, shCfg: 1, allocCfg: 0 };
    const { MTCFG, MemAttr, SHCFG, ALLOCCFG } = GBPA.fields;
    return { memAttr: MTCFG.of(gbpa) ? 16 | MemAttr.of(gbpa) : 0, shCfg: SHCFG.of(gbpa), allocCfg: ALLOCCFG.of(gbpa) };
  }

  /** Answers an endpoint's translation request (ATS), in the request. Returns its PCIe completion status. */
  translate(request: AtsRequest): AtsStatus {
    const { busy } = this.#ingress;
    return this.#ingress.exclusively(() => this.#ats.translate(request, busy));
  }

  /** Takes an endpoint's page request (PRI). Where it cannot, it answers through the endpoint's `pageResponse`. */
  requestPage(message: PageRequestMessage): void {
    if (this.#ingress.busy) this.#scheduler.post('hardware', () => this.requestPage(message));
    else this.#ingress.exclusively(() => this.#pri.request(message));
  }

  /** Says who gets the ATC invalidations and page responses of a stream. */
  connect(streamId: number, endpoint: AtsEndpoint): void {
    this.#ats.endpoints.set(streamId >>> 0, endpoint);
  }

  /** Takes {@link connect} back. Invalidations for the stream are then answered as unsupported, and count as done. */
  disconnect(streamId: number): void {
    this.#ats.endpoints.delete(streamId >>> 0);
  }

  /**
   * A CPU's TLBI instruction, as the interconnect broadcasts it. Without IDR0.BTM, or with CR2.PTM=1, it does nothing.
   * It is complete on return.
   */
  broadcast(operation: Broadcast): void {
    const cr2 = this.#registers.words[word(CR2)]!;
    if (!this.features.btm || CR2.fields.PTM.of(cr2)) return;
    broadcast(operation, this.features, this.#invalidator, CR2.fields.E2H.of(cr2));
  }

  /**
   * Tells the checker that memory was written, so that it can say since when something is stale. A `SystemMemory` calls
   * it as its observer.
   */
  stored(pa: number, bytes: number): void {
    this.#checker?.stored(pa, bytes);
  }

  /** The register file: 32,768 words, page 1 from word 0x4000. A copy, for a later {@link restore}. */
  save(): Uint32Array {
    return this.#registers.words.slice();
  }

  /**
   * Takes over the registers of an SMMU, this one's or another's, as a dump holds them: bases, indexes and enables.
   * The ID registers stay this SMMU's own. Caches are emptied; stalled transactions are aborted.
   */
  restore(words: Uint32Array): void {
    this.#stalls.terminateAll();
    this.#registers.adopt(words);
    this.#configCache.clear();
    this.#invalidator.all();
    this.#ingress.enabled = false;
    this.#control.adopt();
  }

  get stats(): ModelStats {
    const { hits, misses } = this.translator;
    const ingress = this.#ingress;
    return {
      transactions: ingress.transactions,
      bytes: ingress.bytes,
      iotlbHits: hits,
      iotlbMisses: misses,
      walks: this.#walkStats.walks,
      descriptorReads: this.#walkStats.reads,
      iotlbEntries: this.#iotlb.count,
      commands: namedCounts(this.#commands.counts, 'command'),
      events: namedCounts(this.#events.counts, 'event'),
      stalled: this.#stalls.held + this.#stalls.waiting,
      waiting: this.#stalls.waiting,
      unrecordedEvents: this.#events.unrecorded,
      mergedEvents: this.#events.merged,
      silentAborts: ingress.silent,
      externalAborts: ingress.externalAborts,
      atsRequests: this.#ats.answers.reduce((sum, count) => sum + count, 0),
      pageRequests: this.#pri.received,
      droppedPageRequests: this.#pri.dropped,
      automaticResponses: this.#pri.answered,
    };
  }
}
