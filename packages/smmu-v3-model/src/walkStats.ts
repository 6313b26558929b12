/** What the walkers count. */
export class WalkStats {
  /** Translations that memory had to be asked for, each stage by itself. */
  walks = 0;
  /** Descriptors read. */
  reads = 0;
}
