import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';
import { useEffect, useState } from 'react';

import { messageOf } from '../../api';
import type { IShownNotebook } from '../../contracts';
import { executedDocument } from '../../models/executed';
import type { IDesk } from '../../tokens';
import { highlightRules, textRuns } from '../parts/code';
import { colour } from '../parts/plot';
import { Problem } from '../parts/problem';
import { Region } from '../parts/region';

/**
 * The frame has no theme of its own: it gets the colours that there are when the notebook is opened.
 */
async function frameStyle(): Promise<string> {
  const back = colour('--jp-layout-color0') || '#fff';
  const front = colour('--jp-content-font-color1') || '#222';
  const shade = colour('--jp-layout-color2') || '#f3f3f3';
  const bad = colour('--jp-error-color1') || '#b00';
  return (
    `body{font:13px/1.5 system-ui,sans-serif;background:${back};color:${front};margin:12px}` +
    'h2{font-size:12px;font-weight:600;margin:16px 0 4px}' +
    'pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0 0 4px;padding:6px;font-size:12px}' +
    `pre.source{background:${shade}}pre.error,pre.stderr{border-left:3px solid ${bad}}` +
    'img{max-width:100%}p{font-style:italic}' +
    (await highlightRules())
  );
}

/**
 * The notebook as the frame's document, its code in colours.
 */
async function frameContent(notebook: IShownNotebook): Promise<string> {
  const sources = notebook.cells
    .filter(cell => cell.type === 'code')
    .map(cell => cell.source);
  const [style, ...runs] = await Promise.all([
    frameStyle(),
    ...sources.map(source => textRuns(source))
  ]);
  const known = new Map(sources.map((source, index) => [source, runs[index]]));
  return executedDocument(notebook, style, known);
}

/**
 * What the view of an executed notebook is made of.
 */
export interface IExecutedProps {
  run: string;
  desk: IDesk;
  trans: TranslationBundle;
}

/**
 * An executed notebook in a frame that has no scripts, no origin and no network.
 */
export class ExecutedView extends Region<IExecutedProps> {
  constructor(props: IExecutedProps) {
    const look = {
      className: 'jp-FlipDesk',
      label: props.trans.__('Executed notebook')
    };
    super(Executed, props, look);
    this.addClass('jp-FlipExecuted');
  }
}

function Executed(props: IExecutedProps): JSX.Element {
  const { run, desk, trans } = props;
  const [content, setContent] = useState<string | null>(null);
  const [problem, setProblem] = useState('');
  useEffect(() => {
    let shown = true;
    desk
      .executed(run)
      .then(frameContent)
      .then(
        made => {
          if (shown) {
            setContent(made);
          }
        },
        error => {
          if (shown) {
            setProblem(messageOf(error));
          }
        }
      );
    return () => {
      shown = false;
    };
  }, [run, desk]);
  return (
    <>
      <p className="jp-FlipBanner jp-mod-warn">
        {trans.__('It may show patients; it stays here.')}
      </p>
      <Problem text={problem} />
      {content === null ? (
        !problem && (
          <p className="jp-FlipEmpty" role="status">
            {trans.__('Loading…')}
          </p>
        )
      ) : (
        <iframe
          className="jp-FlipExecuted-frame"
          sandbox=""
          referrerPolicy="no-referrer"
          title={trans.__('Executed notebook')}
          srcDoc={content}
        />
      )}
    </>
  );
}
