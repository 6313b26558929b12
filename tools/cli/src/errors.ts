/** What the user can set right: told in one line, exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** A run that failed: told in one line, exit code 1. */
export class RunError extends Error {
  override readonly name = 'RunError';
}

/** Exit codes of the command. */
export const EXIT = { OK: 0, FAILED: 1, USAGE: 2 } as const;

const HINTS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory; check the name',
  EACCES: 'permission denied; choose a file that you may use',
  EPERM: 'not permitted; choose a file that you may use',
  EISDIR: 'is a directory; name a file',
  ENOTDIR: 'a part of the path is not a directory; check the name',
  ENAMETOOLONG: 'the name is too long; choose a shorter one',
  ELOOP: 'the symbolic links lead in a circle; name the file itself',
  EROFS: 'the file system is read-only; choose another place with -o',
  EMFILE: 'too many files are open; close some',
  ENFILE: 'too many files are open; close some',
  ENOSPC: 'the disk is full; free some space, or choose another place with -o',
  EDQUOT: 'your disk quota is used up; free some space, or choose another place with -o',
  EFBIG: 'the file would exceed the largest size allowed (ulimit -f); choose another place with -o',
  EIO: 'the disk reported an error; try another one',
};

/** The code of an error that the file system reported, or `undefined` for any other. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || !('syscall' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** One line for what the file system reported about `path`. Anything else is passed on. */
export function explain(path: string, error: unknown): Error {
  const code = systemCode(error);
  if (code === undefined) return error instanceof Error ? error : new Error(String(error));
  return new UsageError(`${path}: ${HINTS[code] ?? `${(error as Error).message}; try another file`}`);
}
