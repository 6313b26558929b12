/**
 * Allocators that bring their own numbers: a guest whose PASIDs come from the host through a virtual command register.
 * Stacked and torn down by the rules of Linux 5.x drivers/iommu/ioasid.c:
 * the first registered is active and the others wait in order; those with the same pair of functions are one ID space
 * with several contexts, and their IDs survive as long as one of them is registered; the space of a new allocator must
 * start without IDs of another, so the change from and to the default one is refused while IDs are out.
 */
import { IommuError } from '@smmu/platform';

/** What a custom allocator answers when it has no ID in the range. */
export const INVALID_IOASID = -1;

/** Functions of a custom allocator (Linux `struct ioasid_allocator_ops`). */
export interface CustomAllocator<Context = unknown> {
  /** Finds an ID in `[min, max]`, both inclusive. Returns it, or {@link INVALID_IOASID}. */
  alloc(min: number, max: number, context: Context): number;
  /** Takes back an ID that `alloc` returned. */
  free(id: number, context: Context): void;
  /** Handed to both functions (Linux `pdata`). */
  readonly context: Context;
}

/** The registered allocators, grouped by the ID space that they share. */
export class CustomAllocators {
  /** Each group is one ID space; its first member answers for it. The first group is active. */
  readonly #spaces: CustomAllocator[][] = [];

  /** The allocator in charge, or undefined when it is the default one. */
  get active(): CustomAllocator | undefined {
    return this.#spaces[0]?.[0];
  }

  /**
   * @param outstanding - IDs in use or in quarantine now.
   * @throws {@link IommuError} `EEXIST` if registered already; `EAGAIN` if the default allocator has IDs out.
   */
  register(custom: CustomAllocator, outstanding: number): void {
    if (this.#spaces.some((space) => space.includes(custom)))
      throw new IommuError('EEXIST', 'this custom allocator is registered already');
    if (this.#spaces.length === 0 && outstanding > 0)
      throw new IommuError('EAGAIN', `the default allocator has ${outstanding} IDs out; put them back first`);
    const shared = this.#spaces.find(([first]) => sameFunctions(first!, custom));
    if (shared) shared.push(custom);
    else this.#spaces.push([custom]);
  }

  /**
   * @param outstanding - IDs in use or in quarantine now; they are the active space's.
   * @throws {@link IommuError} `ENOENT` if not registered; `EBUSY` if it is the last of the active space and IDs are
   * out: the kernel warns and loses them.
   */
  unregister(custom: CustomAllocator, outstanding: number): void {
    const at = this.#spaces.findIndex((space) => space.includes(custom));
    const space = this.#spaces[at];
    if (space === undefined) throw new IommuError('ENOENT', 'this custom allocator is not registered');
    if (space.length > 1) space.splice(space.indexOf(custom), 1);
    else {
      if (at === 0 && outstanding > 0)
        throw new IommuError('EBUSY', `${outstanding} IDs of this custom allocator are out; put them back first`);
      this.#spaces.splice(at, 1);
    }
  }
}

const sameFunctions = (a: CustomAllocator, b: CustomAllocator): boolean => a.alloc === b.alloc && a.free === b.free;
