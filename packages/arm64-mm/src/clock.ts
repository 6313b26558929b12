/**
 * The pages that can be reclaimed, in the order in which the hand of the clock comes to them (Linux mm/vmscan.c, the
 * file list of a `struct lruvec`, as one list with a second chance). Every operation takes constant time.
 */
import type { Random } from '@smmu/platform';
import type { Page } from './page.ts';

/** A queue of pages; the hand is at its head. */
export class Clock {
  #head: Page | null = null;
  #tail: Page | null = null;
  /** The same pages without order, for a fair draw. */
  readonly #pages: Page[] = [];

  /** Pages of files in memory. */
  get size(): number {
    return this.#pages.length;
  }

  /** The page that the hand points at. */
  get hand(): Page | null {
    return this.#head;
  }

  /** Puts a page where the hand comes last. */
  add(page: Page): void {
    page.slot = this.#pages.length;
    this.#pages.push(page);
    this.#append(page);
  }

  remove(page: Page): void {
    const last = this.#pages.pop()!;
    if (last !== page) {
      this.#pages[page.slot] = last;
      last.slot = page.slot;
    }
    page.slot = -1;
    this.#unlink(page);
  }

  /** Moves the hand on: the page at it comes last again. */
  advance(): void {
    const page = this.#head;
    if (page === null || page === this.#tail) return;
    this.#unlink(page);
    this.#append(page);
  }

  /** Any of the pages, each as likely as the next. There must be one. */
  draw(random: Random): Page {
    return this.#pages[random.below(this.#pages.length)]!;
  }

  #append(page: Page): void {
    page.previous = this.#tail;
    page.next = null;
    if (this.#tail === null) this.#head = page;
    else this.#tail.next = page;
    this.#tail = page;
  }

  #unlink(page: Page): void {
    if (page.previous === null) this.#head = page.next;
    else page.previous.next = page.next;
    if (page.next === null) this.#tail = page.previous;
    else page.next.previous = page.previous;
    page.previous = null;
    page.next = null;
  }
}
