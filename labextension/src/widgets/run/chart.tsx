import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';
import { useState } from 'react';

import type { ICurve } from '../../models/curves';
import { figures, metric } from '../../models/wording';
import { LinkButton } from '../parts/linkbutton';
import { baseLayout, colour, Plot, trustColour } from '../parts/plot';

/**
 * Curves over the rounds of a run, one of them the average of all Trusts.
 */
export interface IChartProps {
  title: string;
  curves: ReadonlyArray<ICurve>;
  /**
   * A Trust's name; the average's is given by `allName`.
   */
  nameOf: (trust: string) => string;
  allName: string;
  /**
   * A horizontal line that the curves are to reach, and what stands at its end.
   */
  needed?: { value: number; label: string };
  /**
   * Whether a value holds until the next one, as counts do; their axis begins at 0.
   */
  steps?: boolean;
  /**
   * One sentence for whoever can't see it, where the first curve's ends do not say enough.
   */
  label?: string;
  trans: TranslationBundle;
  /**
   * What to say while there is nothing to draw.
   */
  empty: string;
}

const DASHES = [
  'solid',
  'dash',
  'dot',
  'dashdot',
  'longdash',
  'longdashdot',
  'solid'
] as const;
const MARKERS = [
  'circle',
  'square',
  'diamond',
  'triangle-up',
  'cross',
  'x',
  'star'
];
const HEIGHT = 240;

/**
 * Curves by round, in the theme's colours; the same numbers as a table for whoever can't see them.
 */
export function CurveChart(props: IChartProps): JSX.Element {
  const { trans } = props;
  const [asTable, setAsTable] = useState(false);
  const drawn = props.curves.some(curve => curve.rounds.length > 0);
  return (
    <figure className="jp-FlipChart">
      <figcaption>
        <strong>{props.title}</strong>
        {drawn && (
          <LinkButton
            aria-pressed={asTable}
            onClick={() => setAsTable(!asTable)}
          >
            {asTable ? trans.__('Chart') : trans.__('Table')}
          </LinkButton>
        )}
      </figcaption>
      {!drawn ? (
        <p className="jp-FlipView-note">{props.empty}</p>
      ) : asTable ? (
        <CurveTable {...props} />
      ) : (
        <Plot
          label={props.label ?? sentence(props)}
          traces={() => traces(props)}
          layout={() => layout(props)}
        />
      )}
    </figure>
  );
}

function sentence(props: IChartProps): string {
  const [all] = props.curves;
  if (all.values.length === 0) {
    return props.title;
  }
  return props.trans.__(
    '%1 by round: %2 after round %3, %4 after round %5.',
    props.title,
    figures(all.values[0]),
    all.rounds[0],
    figures(all.values[all.values.length - 1]),
    all.rounds[all.rounds.length - 1]
  );
}

function traces(props: IChartProps): Plotly.Data[] {
  let trusts = 0;
  return props.curves.map((curve): Plotly.Data => {
    const base = {
      type: 'scatter' as const,
      mode:
        curve.rounds.length > 60
          ? ('lines' as const)
          : ('lines+markers' as const),
      x: curve.rounds,
      y: curve.values
    };
    const shape = props.steps ? ('hv' as const) : ('linear' as const);
    if (curve.trust === null) {
      return {
        ...base,
        name: props.allName,
        line: { color: colour('--jp-ui-font-color1'), width: 3, shape },
        marker: { size: 5 }
      };
    }
    const k = trusts++;
    return {
      ...base,
      name: props.nameOf(curve.trust),
      line: {
        color: trustColour(k),
        dash: DASHES[k % DASHES.length],
        width: 2,
        shape
      },
      marker: { size: 6, symbol: MARKERS[k % MARKERS.length] }
    };
  });
}

function layout(props: IChartProps): Partial<Plotly.Layout> {
  const base = baseLayout(HEIGHT);
  return {
    ...base,
    showlegend: true,
    legend: { orientation: 'h', y: 1.12, x: 0 },
    hovermode: 'x unified',
    xaxis: {
      ...base.xaxis,
      title: { text: props.trans.__('round') },
      rangemode: 'tozero',
      tickformat: 'd'
    },
    yaxis: {
      ...base.yaxis,
      title: { text: props.title },
      ...(props.steps && { range: [0, top(props)], tickformat: 'd' })
    },
    ...(props.needed && line(props.needed))
  };
}

/**
 * Room above counts and their line, so that the legend stands clear of both.
 */
function top(props: IChartProps): number {
  const values = props.curves.flatMap(curve => curve.values);
  return 1.2 * Math.max(1, props.needed?.value ?? 0, ...values);
}

/**
 * The line that curves are to reach, with its number at its end.
 */
function line(needed: {
  value: number;
  label: string;
}): Partial<Plotly.Layout> {
  const ink = colour('--jp-ui-font-color2');
  const at = { xref: 'paper' as const, yref: 'y' as const };
  return {
    shapes: [
      {
        ...at,
        type: 'line',
        x0: 0,
        x1: 1,
        y0: needed.value,
        y1: needed.value,
        line: { color: ink, dash: 'dot', width: 1 }
      }
    ],
    annotations: [
      {
        ...at,
        x: 1,
        y: needed.value,
        xanchor: 'right',
        yanchor: 'top',
        text: needed.label,
        showarrow: false,
        font: { color: ink }
      }
    ]
  };
}

function CurveTable(props: IChartProps): JSX.Element {
  const rounds = [...new Set(props.curves.flatMap(curve => curve.rounds))].sort(
    (a, b) => a - b
  );
  return (
    <div className="jp-FlipTable-scroll" tabIndex={0}>
      <table className="jp-FlipTable">
        <thead>
          <tr>
            <th scope="col">{props.trans.__('Round')}</th>
            {props.curves.map(curve => (
              <th scope="col" key={curve.trust ?? ''}>
                {curve.trust === null
                  ? props.allName
                  : props.nameOf(curve.trust)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rounds.map(round => (
            <tr key={round}>
              <th scope="row">{round}</th>
              {props.curves.map(curve => {
                const at = curve.rounds.indexOf(round);
                return (
                  <td key={curve.trust ?? ''} className="jp-mod-number">
                    {at < 0 ? '' : metric(curve.values[at])}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
