/**
 * Notices a device that faults on the same page for ever: the page is there, the answer is "try again", and the next
 * try faults once more. A wrong table attribute or a broken device does this, and neither would ever end.
 *
 * Only a fault that arrives after the last answer for its page counts: a hundred transactions that stall on one page
 * together are no repetition. The few pages answered last are remembered, so that two or three pages in turn are seen,
 * too, while a device that gets on with its work pushes them out.
 */
const REMEMBERED = 4;

export class RepeatedFaults {
  readonly #pages: number[] = [];
  readonly #counts: number[] = [];
  readonly #answeredAt: number[] = [];

  /**
   * Counts a fault on `page`.
   * @param sequence - Number of its group.
   * @returns How often in a row the page has faulted after an answer.
   */
  count(page: number, sequence: number): number {
    const i = this.#pages.indexOf(page);
    if (i < 0) return 0;
    if (sequence > this.#answeredAt[i]!) this.#counts[i]! += 1;
    return this.#counts[i]!;
  }

  /** Notes that `page` was answered when group `newest` was the last to have arrived. */
  answered(page: number, newest: number): void {
    let i = this.#pages.indexOf(page);
    if (i < 0) {
      i = this.#pages.length;
      if (i === REMEMBERED) {
        i = this.#answeredAt.indexOf(Math.min(...this.#answeredAt));
      }
      this.#pages[i] = page;
      this.#counts[i] = 0;
    }
    this.#answeredAt[i] = newest;
  }

  /** Forgets `page`, whose repetition has been ended. */
  forget(page: number): void {
    const i = this.#pages.indexOf(page);
    if (i < 0) return;
    this.#pages.splice(i, 1);
    this.#counts.splice(i, 1);
    this.#answeredAt.splice(i, 1);
  }
}
