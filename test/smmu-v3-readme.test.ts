import { readFileSync } from 'node:fs';
import * as iommu from '@smmu/iommu';
import * as iommuPages from '@smmu/iommu-pages';
import * as platform from '@smmu/platform';
import * as smmuV3 from '@smmu/smmu-v3';
import * as model from '@smmu/smmu-v3-model';
import { expect, it } from 'vitest';

const readme = readFileSync(new URL('../packages/smmu-v3/README.md', import.meta.url), 'utf8');
const fence = (language: string): string => readme.split(`\`\`\`${language}\n`)[1]!.split('\n```')[0]!;

// It stands here and not in the package, whose own tests know no model.
it('the example of the driver’s README prints what the README says', () => {
  const modules: Record<string, object> = {
    '@smmu/iommu': iommu,
    '@smmu/iommu-pages': iommuPages,
    '@smmu/platform': platform,
    '@smmu/smmu-v3': smmuV3,
    '@smmu/smmu-v3-model': model,
  };
  const lines: string[] = [];
  const log = (...values: unknown[]) => void lines.push(values.join(' '));
  const body = fence('js').replace(/import (\{.*\}) from '(.*)';/g, "const $1 = modules['$2'];");
  new Function('modules', 'console', body)(modules, { log });
  expect(lines.join('\n')).toBe(fence('text'));
});
