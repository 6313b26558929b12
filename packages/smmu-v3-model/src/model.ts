/**
 * An SMMUv3 put together: registers in front, transactions in, memory behind. IHI 0070; QEMU hw/arm/smmuv3.c for the
 * same role. It keeps nothing that software could not have told it through memory and registers.
 */
import {
  DMA_ABORT,
  DMA_OK,
  DMA_PENDING,
  type DmaPort,
  type DmaRequest,
  type DmaStatus,
  IommuError,
  type MmioWindow,
  type PhysicalMemory,
  type Scheduler,
  type Trace,
} from '@smmu/platform';
import { CR2, EVENT, eventByCode, GBPA } from '@smmu/spec';
import { CommandQueue } from './commandQueue.ts';
import { CommandTarget } from './commands/command.ts';
import { ConfigCache } from './configCache.ts';
import { END_STALL, END_ZERO, endOf, isRecorded } from './context.ts';
import { ContextTable } from './contextTable.ts';
import { Control } from './control.ts';
import { BITS_FRAGMENT } from './entryBits.ts';
import { EventQueue } from './eventQueue.ts';
import { fillRecord } from './eventRecord.ts';
import { Fault } from './fault.ts';
import { features, type ModelFeatures } from './features.ts';
import { GlobalErrors } from './gerror.ts';
import { type InterruptLines, Interrupts } from './interrupts.ts';
import { Invalidator } from './invalidate.ts';
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

/** A transaction is at most this long and does not leave its naturally aligned 4 KiB. */
const LARGEST = 4096;

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
}

export class SmmuV3Model implements DmaPort {
  /** What this SMMU can do. */
  readonly features: ModelFeatures;
  /** Register pages 0 and 1, 128 KiB: place it on the bus. */
  readonly window: MmioWindow;
  /** Looks an address up without moving data; see {@link Translator.translate}. Counts as no transaction. */
  readonly translator: Translator;
  readonly #registers: RegisterFile;
  readonly #memory: PhysicalMemory;
  readonly #scheduler: Scheduler;
  readonly #control: Control;
  readonly #events: EventQueue;
  readonly #stalls: StallBuffer;
  readonly #commands: CommandQueue;
  readonly #iotlb: TagCache;
  readonly #walkStats: WalkStats = new WalkStats();
  readonly #configCache: ConfigCache;
  readonly #invalidator: Invalidator;
  #enabled = false;
  #busy = false;
  #transactions = 0;
  #bytes = 0;
  #externalAborts = 0;
  #silent = 0;

  /** @throws {@link IommuError} `EINVAL` if no SMMU can have those features together. */
  constructor(options: SmmuOptions) {
    const { memory, scheduler, interrupts, trace, onWake } = options;
    const f = features(options.features);
    this.features = f;
    this.#memory = memory;
    this.#scheduler = scheduler;
    const registers = new RegisterFile(f, (offset) => this.#control.written(offset));
    const { words } = registers;
    this.#registers = registers;
    this.window = registers;
    const errors = new GlobalErrors(words);
    const signals = new Interrupts(memory, words, f, interrupts, errors);
    const fault = new Fault();
    const configCache = new ConfigCache(f.configEntries);
    const iotlb = new TagCache(f.iotlbEntries, BITS_FRAGMENT);
    const walks1 = new TagCache(f.walkCacheEntries);
    const walks2 = new TagCache(f.walkCacheEntries);
    this.#configCache = configCache;
    this.#iotlb = iotlb;
    const numbers = new TagNumbers();
    const invalidator = new Invalidator(iotlb, walks1, walks2, numbers);
    this.#invalidator = invalidator;
    numbers.onExhausted = () => {
      configCache.clear();
      invalidator.all();
    };
    const walkStats = this.#walkStats;
    const stage2 = new Stage2(memory, f, iotlb, walks2, fault, walkStats);
    const stage1 = new Stage1(memory, iotlb, walks1, stage2, fault, walkStats);
    const streamTable = new StreamTable(memory, words, f, configCache, fault, numbers);
    const contextTable = new ContextTable(memory, f, configCache, stage2, fault);
    this.translator = new Translator({
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
    });
    this.#events = new EventQueue(memory, words, f, errors, signals);
    this.#stalls = new StallBuffer(f, scheduler, this.#events, trace, (request) => this.#run(request));
    const stalls = this.#stalls;
    const target = new CommandTarget(words, f, configCache, invalidator, stalls, this.translator);
    this.#commands = new CommandQueue({
      memory,
      words,
      scheduler,
      errors,
      interrupts: signals,
      target,
      trace,
      onWake: onWake ?? (() => {}),
    });
    this.#control = new Control(words, scheduler, {
      onEnable: (enabled) => {
        this.#enabled = enabled;
        if (enabled) streamTable.configure();
        else stalls.terminateAll();
      },
      onEventsOn: () => {
        this.#events.configure();
        stalls.kick();
      },
      onEventRoom: () => stalls.kick(),
      onCommands: () => this.#commands.kick(),
      onCommandsOn: () => {
        this.#commands.configure();
        this.#commands.kick();
      },
      onCommandsOff: () => this.#commands.flush(),
      onVmidWildcard: (bits) => {
        invalidator.vmidMask = (0xffff << bits) & 0xffff;
      },
    });
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
    if (request.dataStart < 0 || request.dataStart + request.length > request.data.length)
      throw new IommuError(
        'EINVAL',
        `DMA of ${request.length} bytes from ${request.dataStart} of a buffer of ${request.data.length}`,
      );
    this.#transactions++;
    return this.#run(request);
  }

  /** Everything after a transaction's arrival; a retry begins here. */
  #run(request: DmaRequest): DmaStatus {
    if (this.#busy) return this.#defer(request);
    const { length, addressLo } = request;
    if (!(length >= 0 && (addressLo & (LARGEST - 1)) + length <= LARGEST)) return this.#unsupported(request);
    if (!this.#enabled || request.translated) return this.#unusual(request);
    const access = accessOf(request.write, request.instruction, request.privileged);
    this.#busy = true;
    const found = this.translator.translate(
      request.streamId >>> 0,
      request.substreamId,
      addressLo,
      request.addressHi,
      access,
    );
    this.#busy = false;
    return found ? this.#move(request, this.translator.pa) : this.#failed(request);
  }

  /** Moves the data. What memory answers is the device's to know, not the SMMU's to record. */
  #move(request: DmaRequest, pa: number): DmaStatus {
    const { data, dataStart, length } = request;
    const moved = request.write
      ? this.#memory.writeBytes(pa, data, dataStart, length)
      : this.#memory.readBytes(pa, data, dataStart, length);
    if (!moved) {
      this.#externalAborts++;
      return (request.status = DMA_ABORT);
    }
    this.#bytes += length;
    return (request.status = DMA_OK);
  }

  /** SMMUEN=0, or an address that ATS translated. */
  #unusual(request: DmaRequest): DmaStatus {
    if (request.translated) {
      // Without ATS no translation was ever handed out, so none can be used (§3.9.1.3).
      this.translator.ste = null;
      this.translator.context = null;
      this.translator.fault.set(EVENT.F_TRANSL_FORBIDDEN, 'Translated transaction without ATS');
      this.translator.access = accessOf(request.write, request.instruction, request.privileged);
      return this.#failed(request);
    }
    const address = (request.addressHi >>> 0) * 2 ** 32 + (request.addressLo >>> 0);
    if (GBPA.fields.ABORT.of(this.#control.gbpa) || address >= 2 ** this.features.oasBits) {
      this.#silent++;
      return (request.status = DMA_ABORT);
    }
    return this.#move(request, address);
  }

  #unsupported(request: DmaRequest): DmaStatus {
    const { translator } = this;
    translator.ste = null;
    translator.context = null;
    translator.access = accessOf(request.write, request.instruction, request.privileged);
    translator.fault.set(EVENT.F_UUT, 'the transaction leaves its naturally aligned 4 KiB');
    return this.#failed(request);
  }

  /** Ends or stalls a transaction as the stream's fault bits say, and records it. */
  #failed(request: DmaRequest): DmaStatus {
    const { fault, ste, context, access } = this.translator;
    const cd = context?.cd ?? null;
    const end = endOf(fault, ste, cd);
    this.#busy = true;
    if (end === END_STALL) this.#stall(request, access);
    else {
      if (!isRecorded(fault, ste, cd, CR2.fields.RECINVSID.of(this.#registers.words[word(CR2)]!))) this.#silent++;
      else {
        fillRecord(this.#events.record, fault, request, access, -1);
        this.#events.put(ste?.mev ?? false);
      }
      request.status = DMA_ABORT;
      if (end === END_ZERO) {
        if (!request.write) request.data.fill(0, request.dataStart, request.dataStart + request.length);
        request.status = DMA_OK;
      }
    }
    this.#busy = false;
    return request.status;
  }

  #stall(request: DmaRequest, access: number): void {
    const stalls = this.#stalls;
    const { fault } = this.translator;
    request.status = DMA_PENDING;
    const tag = stalls.freeTag();
    if (tag >= 0) {
      fillRecord(this.#events.record, fault, request, access, tag);
      if (this.#events.putStall()) {
        stalls.hold(request, tag, eventByCode(fault.code)!.name);
        return;
      }
    }
    stalls.wait(request);
  }

  #defer(request: DmaRequest): DmaStatus {
    this.#scheduler.post('hardware', () => {
      if (this.#run(request) !== DMA_PENDING) request.complete?.(request);
    });
    return (request.status = DMA_PENDING);
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
    this.#enabled = false;
    this.#control.adopt();
  }

  get stats(): ModelStats {
    const { hits, misses } = this.translator;
    return {
      transactions: this.#transactions,
      bytes: this.#bytes,
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
      silentAborts: this.#silent,
      externalAborts: this.#externalAborts,
    };
  }
}
