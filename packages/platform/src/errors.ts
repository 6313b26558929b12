/** The errno name that Linux returns for the same mistake. Callers switch on it, never on the message. */
export type ErrorCode =
  | 'E2BIG'
  | 'EAGAIN'
  | 'EBUSY'
  | 'EDEADLK'
  | 'EEXIST'
  | 'EFAULT'
  | 'EINVAL'
  | 'EIO'
  | 'ENODEV'
  | 'ENOENT'
  | 'ENOMEM'
  | 'ENOSPC'
  | 'ENXIO'
  | 'EOPNOTSUPP'
  | 'EOVERFLOW'
  | 'EPERM'
  | 'ERANGE'
  | 'ESRCH'
  | 'ETIMEDOUT';

/**
 * What every package throws when a caller did something wrong or something could not be done.
 * What hardware reports (a fault, an event, a command error) is data and is never thrown.
 */
export class IommuError extends Error {
  override readonly name: string = 'IommuError';
  readonly code: ErrorCode;
  /**
   * @param code - The kernel's name for the failure.
   * @param message - What happened, with the values in it, and what to do next where that is known.
   */
  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
