import { bits, choice, flag, layout, wide } from '@smmu/spec';

/**
 * What the compression accelerator and software say to each other: registers, rings and records, each defined once.
 * Modelled on HiSilicon's ZIP engines (Linux drivers/crypto/hisilicon/zip, drivers/misc/uacce) and Intel's IAA.
 * All rings are counted by numbers of 16 bits that run freely: entry `n` lies at `n` modulo the ring's entries.
 */

/** Bytes of the register BAR: one page of control registers, then from {@link DOORBELL_BASE} one page for each queue. */
export const BAR_BYTES = 0x8_0000;
export const DOORBELL_BASE = 0x4_0000;
/** Bytes between two queues' doorbells: a page, so that a process can be given its own and no other. */
export const DOORBELL_STRIDE = 0x1000;
export const MAX_QUEUES = 64;
/** Largest source of a job, and the room for its result inside the device. */
export const MAX_JOB_BYTES = 0x4_0000;
export const MAX_RESULT_BYTES = MAX_JOB_BYTES + 0x4000;
/** Largest ring: 2^15 entries, so that a full one and an empty one differ in 16 bits. */
export const MAX_LOG2_ENTRIES = 15;

/** The control registers, for the kernel only. */
export const registersLayout = layout('accelerator registers', 64, 'BAR 0, page 0', {
  VERSION: bits(0, 15, 0, 'read-only: revision of this register layout'),
  QUEUES: bits(0, 31, 16, 'read-only: work queues that it has'),
  LOG2_JOB_BYTES: bits(0, 39, 32, 'read-only: log2 of the largest source of a job'),
  ENABLE: flag(1, 0, 'runs while set; clearing it forgets everything'),
  HALTED: flag(1, 32, 'read-only: an admin ring could not be read or written; cleared by ENABLE = 0'),
  LOG_OVERFLOW: flag(1, 33, 'read-only: an error found no room in the error log; cleared by ENABLE = 0'),
  ADMIN_RING: wide(2, 63, 0, 'where the admin commands are; no PASID'),
  COMPLETION_RING: wide(3, 63, 0, 'where the admin completions go; no PASID'),
  ERROR_LOG: wide(4, 63, 0, 'where errors go that no process can be told of; no PASID'),
  ADMIN_LOG2: bits(5, 3, 0, 'log2 of the entries of the admin ring and of the completion ring'),
  ERROR_LOG2: bits(5, 7, 4, 'log2 of the entries of the error log'),
  ADMIN_PROD: bits(6, 15, 0, 'admin commands written; a write lets the device look'),
  ADMIN_CONS: bits(6, 31, 16, 'read-only: admin commands fetched'),
  COMPLETION_PROD: bits(6, 47, 32, 'read-only: admin completions written'),
  ERROR_PROD: bits(7, 15, 0, 'read-only: errors written'),
  ERROR_CONS: bits(7, 47, 32, 'errors that the kernel has read'),
});
export const REGISTERS = registersLayout.fields;

/** One queue's doorbell page, for the process that owns the queue. */
export const doorbellLayout = layout('doorbell page', 8, 'BAR 0, page 64 + queue', {
  PROD: bits(0, 15, 0, 'descriptors written; a write lets the device look'),
  CONS: bits(0, 47, 32, 'read-only: descriptors fetched, whose places may be used again'),
});
export const DOORBELL = doorbellLayout.fields;

/** What the kernel asks for through the admin ring. */
export const ADMIN_OP = { ENABLE_QUEUE: 1, DISABLE_QUEUE: 2 } as const;
export const adminCommandLayout = layout('admin command', 32, 'admin ring', {
  OP: choice(0, 7, 0, ADMIN_OP, 'what to do'),
  VECTOR: bits(0, 15, 8, 'MSI vector of the queue'),
  ID: bits(0, 31, 16, 'comes back in the completion'),
  QUEUE: bits(0, 47, 32, 'which queue'),
  LOG2_ENTRIES: bits(0, 51, 48, 'log2 of the entries of its descriptor ring'),
  PASID: bits(1, 19, 0, 'whose addresses its descriptors hold'),
  RING: wide(2, 63, 0, 'where its descriptor ring is, a multiple of 64; an address of the process'),
});
export const ADMIN_COMMAND = adminCommandLayout.fields;

/** How an admin command ended. DISABLE_QUEUE ends when the last transaction of the queue has. */
export const ADMIN_STATUS = { DONE: 0, BAD_COMMAND: 1, BAD_QUEUE: 2, BUSY: 3, NOT_ENABLED: 4 } as const;
export const adminCompletionLayout = layout('admin completion', 16, 'completion ring', {
  ID: bits(0, 15, 0, 'of the command'),
  STATUS: choice(0, 23, 16, ADMIN_STATUS, 'how it ended'),
  QUEUE: bits(0, 47, 32, 'which queue'),
});
export const ADMIN_COMPLETION = adminCompletionLayout.fields;

/** What a descriptor asks for. */
export const JOB_OP = { NOP: 0, COMPRESS: 1, COPY: 2 } as const;
/** A job descriptor. All addresses are the process's own pointers. */
export const descriptorLayout = layout('job descriptor', 64, 'work queue ring', {
  OP: choice(0, 7, 0, JOB_OP, 'what to do'),
  INTERRUPT: flag(0, 8, 'send an MSI once the completion record is written'),
  TAG: bits(0, 63, 32, 'comes back in the completion record'),
  SOURCE: wide(1, 63, 0, 'where to read'),
  SOURCE_BYTES: bits(2, 31, 0, 'how much to read'),
  DESTINATION_BYTES: bits(2, 63, 32, 'room for the result'),
  DESTINATION: wide(3, 63, 0, 'where to write'),
  COMPLETION: wide(4, 63, 0, 'where the completion record goes, a multiple of 32'),
});
export const DESCRIPTOR = descriptorLayout.fields;

/** How a job ended. Those from DESCRIPTOR_ABORTED on cannot be told to the process and stand in the error log alone. */
export const JOB_STATUS = {
  PENDING: 0,
  DONE: 1,
  BAD_DESCRIPTOR: 2,
  READ_ABORTED: 3,
  WRITE_ABORTED: 4,
  OUTPUT_TOO_SMALL: 5,
  QUEUE_DISABLED: 6,
  DESCRIPTOR_ABORTED: 16,
  COMPLETION_ABORTED: 17,
  BAD_DOORBELL: 18,
} as const;
export const completionLayout = layout('completion record', 32, 'process memory', {
  STATUS: choice(0, 7, 0, JOB_STATUS, 'how the job ended; 0 until it has'),
  WRITE: flag(0, 8, 'the access at ADDRESS was a write'),
  TAG: bits(0, 63, 32, 'of the descriptor'),
  BYTES: bits(1, 31, 0, 'bytes of result'),
  ADDRESS: wide(2, 63, 0, 'where it failed: first byte of the lowest aborted transaction'),
});
export const COMPLETION = completionLayout.fields;

/** An entry of the error log. */
export const errorLayout = layout('error log entry', 32, 'error log', {
  CODE: choice(0, 7, 0, JOB_STATUS, 'what went wrong'),
  WRITE: flag(0, 8, 'the access at ADDRESS was a write'),
  QUEUE: bits(0, 31, 16, 'of which queue'),
  TAG: bits(0, 63, 32, 'of the descriptor, where it was read'),
  PASID: bits(1, 19, 0, 'that the access carried'),
  STATUS: choice(1, 31, 24, JOB_STATUS, 'how the job had ended before'),
  ADDRESS: wide(2, 63, 0, 'where it failed'),
});
export const ERROR = errorLayout.fields;

/** MSI vector of admin completions and of the error log. */
export const ADMIN_VECTOR = 0;
export const LOG2_VECTORS = 3;
