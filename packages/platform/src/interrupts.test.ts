import { describe, expect, it } from 'vitest';
import { InterruptLine, MSI_SETSPI, MsiDoorbell } from './interrupts.ts';
import { Scheduler } from './scheduler.ts';

function line() {
  const scheduler = new Scheduler();
  const irq = new InterruptLine(scheduler, 'eventq');
  let handled = 0;
  return { scheduler, irq, handler: () => handled++, handled: () => handled };
}

describe('InterruptLine: an edge runs the handler once, later', () => {
  it('does not run the handler inside raise', () => {
    const { scheduler, irq, handler, handled } = line();
    irq.connect(handler);
    irq.raise();
    expect(handled()).toBe(0);
    scheduler.run();
    expect(handled()).toBe(1);
  });
  it('makes edges before the handler starts one interrupt, and counts them all', () => {
    const { scheduler, irq, handler, handled } = line();
    irq.connect(handler);
    irq.raise();
    irq.raise();
    scheduler.run();
    expect([handled(), irq.raised]).toEqual([1, 2]);
  });
  it('does not lose an edge that comes while the handler runs', () => {
    const { scheduler, irq } = line();
    let runs = 0;
    irq.connect(() => {
      if (++runs === 1) irq.raise();
    });
    irq.raise();
    scheduler.run();
    expect(runs).toBe(2);
  });
  it('remembers an edge on a masked line, also one masked after the edge', () => {
    const { scheduler, irq, handler, handled } = line();
    irq.connect(handler);
    irq.raise();
    irq.mask();
    scheduler.run();
    expect(handled()).toBe(0);
    irq.unmask();
    scheduler.run();
    expect(handled()).toBe(1);
  });
  it('delivers an edge from before anybody was connected, and none after the handler left', () => {
    const { scheduler, irq, handler, handled } = line();
    irq.raise();
    scheduler.run();
    irq.connect(handler);
    scheduler.run();
    expect(handled()).toBe(1);
    irq.raise();
    irq.connect(undefined);
    scheduler.run();
    expect(handled()).toBe(1);
  });
});

describe('MsiDoorbell: a write of a number is an edge on its line', () => {
  it('raises the routed line, and counts writes that mean nothing', () => {
    const { irq } = line();
    const doorbell = new MsiDoorbell();
    doorbell.route(40, irq);
    doorbell.write32(MSI_SETSPI, 40);
    expect([irq.raised, doorbell.spurious]).toEqual([1, 0]);
    doorbell.write32(MSI_SETSPI, 41); // no such line
    doorbell.write32(MSI_SETSPI + 4, 40); // no such register
    expect([irq.raised, doorbell.spurious]).toEqual([1, 2]);
    expect(doorbell.read32()).toBe(0);
  });
});
