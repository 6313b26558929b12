import { existsSync, readdirSync } from 'node:fs';
import { defaultServerConditions } from 'vite';
import { defineConfig } from 'vitest/config';

// Tests read live sources, so nothing has to be built first; `ssr` is the one that counts in Node.
const conditions = ['@smmu/source', ...defaultServerConditions];
const resolution = { resolve: { conditions }, ssr: { resolve: { conditions } } };

const workspaces = ['packages', 'tools'].flatMap((folder) =>
  readdirSync(folder)
    .filter((name) => existsSync(`${folder}/${name}/package.json`))
    .map((name) => ({ name, root: `${folder}/${name}` })),
);

export default defineConfig({
  ...resolution,
  test: {
    reporters: ['default', './scripts/totals-reporter.ts'],
    coverage: {
      provider: 'v8',
      include: ['packages/*/src/**/*.ts', 'tools/*/src/**/*.ts'],
      exclude: ['**/*.{test,bench}.ts'],
    },
    projects: [...workspaces, { name: 'house', root: 'test' }].map(({ name, root }) => ({
      ...resolution,
      root,
      test: { name, include: ['**/*.test.ts'], exclude: ['**/node_modules/**', '**/dist/**'], testTimeout: 60_000 },
    })),
  },
});
