import fc from 'fast-check';
import { expect, it } from 'vitest';
import { PasidTable } from './pasidTable.ts';

it('holds what a sorted Map would, whatever comes and goes', () => {
  const operation = fc.record({ pasid: fc.oneof(fc.nat(5), fc.nat(2 ** 20 - 1), fc.nat(600)), add: fc.boolean() });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      const table = new PasidTable<string>();
      const map = new Map<number, string>();
      for (const { pasid, add } of operations) {
        if (add && !map.has(pasid)) {
          table.add(pasid, `of ${pasid}`);
          map.set(pasid, `of ${pasid}`);
        } else if (!add && map.has(pasid)) {
          table.remove(pasid);
          map.delete(pasid);
        }
        expect([table.get(pasid), table.size]).toEqual([map.get(pasid), map.size]);
      }
      expect([...table]).toEqual([...map].sort((a, b) => a[0] - b[0]));
    }),
  );
});

it.each([-1, 0.5, 2 ** 32, Number.NaN])('%d is no PASID', (pasid) => {
  const table = new PasidTable<string>();
  table.add(0, 'zero');
  expect(table.get(pasid)).toBeUndefined();
});
