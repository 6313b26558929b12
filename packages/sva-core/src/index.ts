export type { Mm, MmuNotifier } from './mm.ts';
export {
  type BindOptions,
  SVA_IOPF,
  Sva,
  type SvaBond,
  type SvaDeviceOptions,
  type SvaDriver,
  type SvaOptions,
} from './sva.ts';
