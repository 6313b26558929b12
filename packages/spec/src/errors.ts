/** A value was written to a field that is too narrow for it, or that keeps bits of it at zero. */
export class FieldRangeError extends RangeError {
  override readonly name = 'FieldRangeError';
  /** The errno that Linux returns for the same mistake, as on every error of the project. */
  readonly code = 'ERANGE';
  readonly value: number;
  /** Largest value that the field holds. */
  readonly max: number;
  /**
   * @param doc - The field's own sentence, since a field does not know which structures it is part of.
   * @param value - What was to be written.
   * @param max - Largest value that the field holds.
   * @param step - Values must be multiples of it: an address field has no room for the bits below.
   */
  constructor(doc: string, value: number, max: number, step = 1) {
    const multiples = step > 1 ? `, multiples of 0x${step.toString(16)}` : '';
    super(`field "${doc}" holds 0 to 0x${max.toString(16)}${multiples}; got ${show(value)}`);
    this.value = value;
    this.max = max;
  }
}

const show = (value: number): string =>
  Number.isInteger(value) && value >= 0 ? `0x${value.toString(16)}` : `${value}`;

/** Two fields of a layout claim the same bit, or a field lies outside: the table itself is wrong. */
export class LayoutError extends Error {
  override readonly name = 'LayoutError';
}
