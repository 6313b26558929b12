import { expect, it } from 'vitest';
import { hex, type Iova, type Pa } from './address.ts';
import { DMA_OK, DmaRequest, NO_SUBSTREAM } from './dma.ts';
import { IommuError } from './errors.ts';

it('writes addresses as the kernel does', () => {
  expect([hex(0x4000_1000), hex(2n ** 63n)]).toEqual(['0x40001000', '0x8000000000000000']);
});
it('takes a plain number as any kind of address, but not one kind for another', () => {
  const iova: Iova = 0x1000;
  // @ts-expect-error An IOVA is not a physical address.
  const pa: Pa = iova;
  expect(pa).toBe(0x1000);
});
it('gives an error the name that the kernel has for it', () => {
  const error = new IommuError('ENOSPC', 'all PASIDs are in use');
  expect([error.code, error.name, error.message, error instanceof Error]).toEqual([
    'ENOSPC',
    'IommuError',
    'all PASIDs are in use',
    true,
  ]);
});
it('starts a transaction without a substream', () => {
  expect(new DmaRequest(new Uint8Array(4))).toMatchObject({
    substreamId: NO_SUBSTREAM,
    status: DMA_OK,
    complete: null,
  });
});
