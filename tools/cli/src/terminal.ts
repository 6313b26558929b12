/** Where the command's output goes, and from where it was called: `process`, or a test. */
export interface Terminal {
  readonly stdout: Stream;
  readonly stderr: Stream;
  /** What relative paths are relative to. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface Stream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** Whether a stream shows colours: a terminal does, unless NO_COLOR (no-color.org) or TERM=dumb say otherwise. */
export function hasColors(stream: Stream, env: Terminal['env']): boolean {
  if (env.NO_COLOR) return false;
  if (env.FORCE_COLOR !== undefined) return env.FORCE_COLOR !== '0';
  return stream.isTTY === true && env.TERM !== 'dumb';
}
