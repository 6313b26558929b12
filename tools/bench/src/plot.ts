import { init } from 'echarts';
import type { Curve, Point } from './curves.ts';

/** Draws a curve as SVG: both axes show what a reader asks, "does it get slower with more of them?" */
export function plot({ operation }: Curve, points: readonly Point[], step: number): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: 720, height: 360 });
  chart.setOption({
    animation: false,
    backgroundColor: '#ffffff',
    title: { text: operation, subtext: `median of 9 rounds; yardstick ${step.toFixed(2)} ns a step`, left: 'center' },
    grid: { left: 64, right: 32, top: 72, bottom: 56 },
    xAxis: { type: 'category', name: 'live objects', nameLocation: 'middle', nameGap: 34, data: points.map(label) },
    yAxis: { type: 'value', name: 'ns per pair', min: 0 },
    series: [
      { type: 'line', data: points.map(({ ns }) => Number(ns.toFixed(1))), symbolSize: 6, lineStyle: { width: 2 } },
    ],
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}

const label = ({ live }: Point): string =>
  live < 1024 ? `${live}` : live < 2 ** 20 ? `${live / 1024}Ki` : `${live / 2 ** 20}Mi`;
