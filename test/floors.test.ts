import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');
const json = (path: string) => JSON.parse(readFileSync(join(root, path), 'utf8'));

interface Floor {
  readonly number: number;
  readonly mayImport: readonly string[];
}

/** The table of ARCHITECTURE.md: package name to its floor. */
const floors = new Map<string, Floor>();
for (const line of readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8').split('\n')) {
  const row = /^\| (\d) \| `([\w-]+)` \| .* \| (.*) \|$/.exec(line);
  if (!row) continue;
  const everything =
    row[3] === 'everything above' ? [...floors.keys()] : row[3]!.split(', ').filter((name) => name !== '–');
  floors.set(row[2]!, { number: Number(row[1]), mayImport: everything });
}

/** Package names of ours that the sources below `folder` import, with one file that does. Tests may look further. */
function importsOf(folder: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const entry of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })) {
    if (!entry.endsWith('.ts') || /\.(test|bench)\.ts$/.test(entry)) continue;
    const text = readFileSync(join(root, folder, entry), 'utf8');
    for (const [, specifier] of text.matchAll(/(?:from|import) '([^']+)'/g)) {
      if (specifier!.startsWith('@smmu/')) found.set(specifier!.split('/')[1]!, entry);
      else if (!specifier!.startsWith('.')) found.set(specifier!, entry);
    }
  }
  return found;
}

describe('the floors of ARCHITECTURE.md', () => {
  it('names every package, and no other', () => {
    expect([...floors.keys()].sort()).toEqual(readdirSync(join(root, 'packages')).sort());
  });

  describe.each([...floors])('%s', (name, { number, mayImport }) => {
    const folder = `packages/${name}`;
    it('imports from lower floors only', () => {
      for (const other of mayImport) expect(floors.get(other)!.number, other).toBeLessThan(number);
      const strangers = [...importsOf(`${folder}/src`)].filter(([other]) => !mayImport.includes(other));
      expect(strangers, 'package and the file that imports it').toEqual([]);
    });
    it('declares what it imports, and nothing else', () => {
      const declared = Object.keys(json(`${folder}/package.json`).dependencies ?? {}).map((d) =>
        d.replace('@smmu/', ''),
      );
      expect(declared.filter((d) => !mayImport.includes(d))).toEqual([]);
      expect([...importsOf(`${folder}/src`).keys()].filter((d) => !declared.includes(d))).toEqual([]);
    });
    it('carries its floor as a tag, for turbo boundaries', () => {
      expect(json(`${folder}/turbo.json`).tags).toEqual([`floor:${number}`]);
    });
    it('has a README', () => {
      expect(existsSync(join(root, folder, 'README.md'))).toBe(true);
    });
  });

  it('keeps driver and model apart, tests included', () => {
    const text = (folder: string) =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
        .filter((entry) => entry.endsWith('.ts'))
        .map((entry) => readFileSync(join(root, folder, entry), 'utf8'))
        .join('\n');
    expect(text('packages/smmu-v3/src')).not.toMatch(/smmu-v3-model/);
    expect(text('packages/smmu-v3-model/src')).not.toMatch(/@smmu\/(?!spec|platform|smmu-v3-model)/);
  });
});
