export * from './cd.ts';
export type { CommandFacts, CommandLayout, Completion } from './commands/command.ts';
export { COMMAND_BYTES } from './commands/command.ts';
export * from './commands/index.ts';
export { type Description, describe, meaningOf } from './describe.ts';
export { FieldRangeError, LayoutError } from './errors.ts';
export type { EventFacts, EventLayout } from './events/event.ts';
export { EVENT_BYTES } from './events/event.ts';
export * from './events/index.ts';
export * from './field.ts';
export * from './globalErrors.ts';
export * from './l1cd.ts';
export * from './l1std.ts';
export { type Decoded, type Fields, type Layout, layout } from './layout.ts';
export * from './priq.ts';
export * from './registers/atos.ts';
export * from './registers/control.ts';
export * from './registers/ecmdq.ts';
export * from './registers/gerror.ts';
export * from './registers/identification.ts';
export * from './registers/idr.ts';
export * from './registers/index.ts';
export * from './registers/queues.ts';
export * from './registers/realm.ts';
export {
  PAGE_BYTES,
  REGISTER_PAGES,
  type Register,
  type RegisterFacts,
  type RegisterPage,
  type Reset,
} from './registers/register.ts';
export * from './registers/root.ts';
export * from './registers/secure.ts';
export * from './registers/tables.ts';
export * from './ste.ts';
export {
  ADDRESS_SIZE,
  ADDRESS_SIZE_52,
  CACHEABILITY,
  CD_CACHEABILITY,
  CERROR,
  MEM_ATTR,
  S1_PERMISSION,
  S2_PERMISSION,
  SHAREABILITY,
  SHCFG,
  STALL_MODEL,
  TG0,
  TG1,
  TLBI_TG,
  WALK_CACHEABILITY,
} from './values.ts';
export * from './vmsa/descriptors.ts';
export * from './vmsa/granules.ts';
export * from './vmsa/memoryAttributes.ts';
export * from './vmsa/outputAddress.ts';
export * from './vmsa/permissions.ts';
export * from './vmsa/startLevels.ts';
