import type { Pa } from '@smmu/platform';
import { LISTED, NONE } from './descriptors.ts';
import type { IommuPages } from './pages.ts';

/**
 * Allocations that wait to be freed together, once the walkers have been told to forget them
 * (Linux `struct iommu_pages_list`, iommu-pages.h). Neither adding nor joining nor freeing allocates anything: the links
 * are a column of the allocator's table. An allocation is on one list at most, and only {@link IommuPages.putPagesList}
 * takes it off again.
 */
export class IommuPagesList {
  /** Whose allocations it holds. */
  readonly pages: IommuPages;
  /** First and last handle; for the allocator. */
  head: number = NONE;
  tail: number = NONE;

  constructor(pages: IommuPages) {
    this.pages = pages;
  }

  /** Whether nothing waits. */
  get empty(): boolean {
    return this.head === NONE;
  }

  /**
   * Puts an allocation at the end (Linux `iommu_pages_list_add`).
   * @param pa - Its first byte.
   * @throws {@link IommuError} `EINVAL` if no allocation starts there, `EBUSY` if it is on a list already.
   */
  add(pa: Pa): void {
    const { descriptors } = this.pages;
    const handle = this.pages.handleOf(pa);
    descriptors.setState(handle, descriptors.state(handle) | LISTED);
    descriptors.setNext(handle, NONE);
    if (this.tail === NONE) this.head = handle;
    else descriptors.setNext(this.tail, handle);
    this.tail = handle;
  }

  /**
   * Moves everything from `from` to the end of this list (Linux `iommu_pages_list_splice`).
   * @throws {@link IommuError} `EINVAL` if the lists belong to different allocators.
   */
  splice(from: IommuPagesList): void {
    this.pages.checkOwner(from);
    if (from.head === NONE || from === this) return;
    if (this.tail === NONE) this.head = from.head;
    else this.pages.descriptors.setNext(this.tail, from.head);
    this.tail = from.tail;
    from.head = NONE;
    from.tail = NONE;
  }

  /** Calls `visit` with each allocation's first byte, in order. */
  forEach(visit: (pa: Pa) => void): void {
    for (let handle = this.head; handle !== NONE; handle = this.pages.descriptors.next(handle))
      visit(this.pages.addressOf(handle));
  }
}
