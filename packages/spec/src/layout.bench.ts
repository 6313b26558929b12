/**
 * What a field costs against a mask written by hand, four of a CD at a time. On Node 20 (V8 11.3), per CD: by hand
 * 1.05 ns, fields as constants of the module 1.4 ns, in a variable about 2 ns each and up to 4 ns, all 94 decoded 3 µs.
 * Fields named on an imported table take 3.4 ns for the four, because V8 does not fold an imported binding; that one
 * is not measured here, where the runner turns each use of an import into a getter (18 ns). Closures instead of classes
 * cost 2.5 ns for the four, and a remainder by a power of two in the check of an address 10 ns.
 */
import { bench, describe } from 'vitest';
import { CD, cdLayout } from './index.ts';

const { T0SZ, V, ASID, IPS, TTB0 } = CD;
const COUNT = 1024;
const words = new Uint32Array(COUNT * 16);
for (let i = 0; i < words.length; i++) words[i] = Math.imul(i, 2654435761);
const sink = new Float64Array(1); // keeps the loops alive

describe('read four fields of 1024 CDs', () => {
  bench('masks by hand', () => {
    let sum = 0;
    for (let cd = 0; cd < words.length; cd += 16)
      sum += (words[cd]! & 63) + (words[cd]! >>> 31) + (words[cd + 1]! >>> 16) + (words[cd + 1]! & 7);
    sink[0] = sum;
  });
  bench('fields as constants', () => {
    let sum = 0;
    for (let cd = 0; cd < words.length; cd += 16)
      sum += T0SZ.get(words, cd) + (V.get(words, cd) ? 1 : 0) + ASID.get(words, cd) + IPS.get(words, cd);
    sink[0] = sum;
  });
  bench('fields in a variable', () => {
    let sum = 0;
    for (let cd = 0; cd < words.length; cd += 16)
      for (const field of [T0SZ, V, ASID, IPS]) sum += Number(field.get(words, cd));
    sink[0] = sum;
  });
});

describe('write an address and a number into 1024 CDs', () => {
  bench('masks by hand', () => {
    for (let cd = 0; cd < words.length; cd += 16) {
      const address = cd * 4096;
      words[cd + 2] = (words[cd + 2]! & 0xf) | address;
      words[cd + 3] = (words[cd + 3]! & 0xff00_0000) | (address / 2 ** 32);
      words[cd + 1] = (words[cd + 1]! & 0xffff) | (cd << 16);
    }
  });
  bench('fields as constants', () => {
    for (let cd = 0; cd < words.length; cd += 16) {
      TTB0.set(words, cd, cd * 4096);
      ASID.set(words, cd, cd & 0xffff);
    }
  });
});

describe('decode one CD', () => {
  bench('all fields', () => {
    sink[0] = cdLayout.decode(words).ASID;
  });
});
