import type { JSX } from 'react';
import { useEffect, useRef, useState } from 'react';

/**
 * A figure for Plotly.
 */
export interface IPlotProps {
  /**
   * What the plot shows, in one sentence, for whoever can't see it.
   */
  label: string;
  /**
   * Called at each drawing, so that colours are those of the current theme.
   */
  traces: () => Plotly.Data[];
  layout: () => Partial<Plotly.Layout>;
}

/**
 * A plotly figure in the theme's colours: loaded when first needed, drawn again as theme, size or content change.
 */
export function Plot(props: IPlotProps): JSX.Element {
  const host = useRef<HTMLDivElement>(null);
  const [theme, setTheme] = useState(0);

  useEffect(() => {
    const observer = new MutationObserver(() => setTheme(count => count + 1));
    observer.observe(document.body, {
      attributes: true,
      attributeFilter: ['data-jp-theme-name']
    });
    return () => observer.disconnect();
  }, []);

  useEffect(() => {
    const node = host.current;
    if (node === null) {
      return;
    }
    let gone = false;
    const sized = new ResizeObserver(() => {
      void import('plotly.js-basic-dist-min').then(({ default: plotly }) => {
        if (!gone && node.clientWidth > 0 && node.hasChildNodes()) {
          plotly.Plots.resize(node);
        }
      });
    });
    sized.observe(node);
    return () => {
      gone = true;
      sized.disconnect();
      void import('plotly.js-basic-dist-min').then(({ default: plotly }) =>
        plotly.purge(node)
      );
    };
  }, []);

  useEffect(() => {
    const node = host.current;
    if (node === null) {
      return;
    }
    void import('plotly.js-basic-dist-min').then(({ default: plotly }) => {
      if (node.isConnected) {
        void plotly.react(node, props.traces(), props.layout(), {
          displayModeBar: false,
          responsive: false
        });
      }
    });
  }, [props, theme]);

  return (
    <div
      ref={host}
      className="jp-FlipChart-plot"
      role="img"
      aria-label={props.label}
    />
  );
}

/**
 * A theme variable's value.
 */
export function colour(name: string): string {
  return getComputedStyle(document.body).getPropertyValue(name).trim();
}

/**
 * What all figures share: transparent, the theme's font and grid, no more room than they need.
 */
export function baseLayout(height: number): Partial<Plotly.Layout> {
  const grid = colour('--jp-border-color2');
  const axis = { gridcolor: grid, linecolor: grid, zeroline: false };
  return {
    autosize: true,
    height,
    margin: { l: 52, r: 12, t: 8, b: 40 },
    paper_bgcolor: 'transparent',
    plot_bgcolor: 'transparent',
    font: {
      color: colour('--jp-ui-font-color1'),
      family: colour('--jp-ui-font-family'),
      size: 12
    },
    hoverlabel: { bgcolor: colour('--jp-layout-color1') },
    xaxis: axis,
    yaxis: axis
  };
}

const TRUST_COLOURS = [
  '--jp-brand-color0',
  '--jp-warn-color0',
  '--jp-info-color1',
  '--jp-inverse-layout-color4'
];

/**
 * The colour of the k-th Trust; past the fourth they come again, told apart by dash, marker or pattern.
 */
export function trustColour(k: number): string {
  return colour(TRUST_COLOURS[k % TRUST_COLOURS.length]);
}
