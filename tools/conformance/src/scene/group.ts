/** Scenarios of one unit: each is a title, the section that decides, and what happens. */
import type { Scenario } from '../scenario.ts';
import { Scene } from './scene.ts';

export type Add = (name: string, title: string, section: string, make: (scene: Scene) => void) => void;

/** Collects a unit's scenarios under its name. */
export function group(unit: string, describe: (add: Add) => void): readonly Scenario[] {
  const list: Scenario[] = [];
  describe((name, title, section, make) => {
    const scene = new Scene(`${unit}/${name}`, title, section);
    make(scene);
    list.push(scene.build());
  });
  return list;
}
