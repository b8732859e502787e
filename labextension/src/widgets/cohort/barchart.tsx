import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';
import { useState } from 'react';

import { LinkButton } from '../parts/linkbutton';
import { baseLayout, Plot, trustColour } from '../parts/plot';
import type { IBarsProps, ISeries } from './bartable';
import {
  BarTable,
  firstSuppressed,
  shownNumber,
  SuppressedNote
} from './bartable';

const PATTERNS = ['', '\\', '.', '-', '|', '+', 'x'] as const;
const HEIGHT = 280;

/**
 * Bars by Trust; a suppressed bar is drawn hatched at half of the threshold, and says so.
 */
export function BarChart(props: IBarsProps): JSX.Element {
  const { title, series, trans } = props;
  const [asTable, setAsTable] = useState(false);
  const names = series.map(one => one.name).join(', ');
  return (
    <figure className="jp-FlipChart">
      <figcaption>
        <strong>{title}</strong>
        <LinkButton aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
          {asTable ? trans.__('Chart') : trans.__('Table')}
        </LinkButton>
      </figcaption>
      {asTable ? (
        <BarTable {...props} />
      ) : (
        <>
          <Plot
            label={trans.__(
              '%1, people by Trust: %2. The table has the numbers.',
              title,
              names
            )}
            traces={() =>
              series.map((one, index) => traceOf(trans, one, index))
            }
            layout={() => {
              const base = baseLayout(HEIGHT);
              return {
                ...base,
                margin: { l: 52, r: 12, t: 8, b: 56 },
                barmode: 'group',
                showlegend: true,
                legend: { orientation: 'h', y: 1.02, yanchor: 'bottom', x: 0 },
                xaxis: {
                  ...base.xaxis,
                  title: { text: title },
                  type: 'category'
                },
                yaxis: { ...base.yaxis, title: { text: trans.__('people') } }
              };
            }}
          />
          <SuppressedNote reply={firstSuppressed(series)} trans={trans} />
        </>
      )}
    </figure>
  );
}

function traceOf(
  trans: TranslationBundle,
  one: ISeries,
  index: number
): Plotly.Data {
  const suppressed = one.bars.map(bar => bar.people === null);
  const half = (one.reply.threshold ?? 0) / 2;
  const own = PATTERNS[index % PATTERNS.length];
  return {
    type: 'bar',
    name: one.name,
    x: one.bars.map(bar => bar.label),
    y: one.bars.map(bar => bar.people ?? half),
    text: one.bars.map(bar => shownNumber(trans, one.reply, bar.people)),
    textposition: 'none',
    hovertemplate: '%{text}',
    marker: {
      color: trustColour(index),
      opacity: suppressed.map(hidden => (hidden ? 0.45 : 1)),
      pattern: { shape: suppressed.map(hidden => (hidden ? '/' : own)) }
    }
  } as Plotly.Data;
}
