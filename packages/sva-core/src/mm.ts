import type { Pa, Va } from '@smmu/platform';

export type FaultResult = 'done' | 'badAddress' | 'badAccess' | 'busError' | 'outOfMemory';
export interface MmuNotifier {
  invalidateSecondaryTlbs(mm: Mm, start: Va, last: Va): void;
  release(mm: Mm): void;
}
export interface Mm {
  readonly name: string;
  readonly root: Pa;
  handleFault(va: Va, access: { read: boolean; write: boolean; exec: boolean; user: boolean }): FaultResult;
  tryGet(): boolean;
  put(): void;
  registerNotifier(notifier: MmuNotifier): void;
  unregisterNotifier(notifier: MmuNotifier): void;
}
