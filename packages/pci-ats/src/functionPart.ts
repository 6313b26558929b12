/**
 * What a function tells those of its parts that live by its registers: the translation cache and the page requester.
 * All are called after the registers and {@link FunctionRights} have their new values.
 */
export interface FunctionPart {
  /** ATS Control.E changed. */
  atsChanged?(enabled: boolean): void;
  /** PRI Control.E changed; on the way to disabled the part sets Stopped when nothing is outstanding any more. */
  priChanged?(enabled: boolean): void;
  /** PRI Control.R was written while E is clear: forget every page request. */
  priReset?(): void;
  /** Function level reset: all that the part knew is gone. */
  reset?(): void;
}
