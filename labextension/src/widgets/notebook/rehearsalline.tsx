import type { NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import {
  checkIcon,
  closeIcon,
  errorIcon,
  ReactWidget
} from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { JSX } from 'react';

import { CommandIDs } from '../../commands';
import { twinIcon } from '../../icons';
import { LinkButton } from '../parts/linkbutton';
import { ToneIcon } from '../parts/states';

/**
 * How far a rehearsal is.
 */
export type RehearsalState = 'running' | 'passed' | 'failed';

const LOOKS = {
  running: [twinIcon, 'running'],
  passed: [checkIcon, 'success'],
  failed: [errorIcon, 'error']
} as const;

/**
 * A line over a notebook's first cell: what came of its rehearsal, and what to do next.
 */
export class RehearsalLine extends ReactWidget {
  private constructor(
    private readonly _panel: NotebookPanel,
    private readonly _commands: CommandRegistry,
    private readonly _trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-FlipRehearsal');
    this.node.setAttribute('role', 'status');
  }

  /**
   * The line of a notebook; added where it has none.
   */
  static of(
    panel: NotebookPanel,
    commands: CommandRegistry,
    trans: TranslationBundle
  ): RehearsalLine {
    for (const widget of panel.contentHeader.widgets) {
      if (widget instanceof RehearsalLine) {
        return widget;
      }
    }
    const line = new RehearsalLine(panel, commands, trans);
    panel.contentHeader.addWidget(line);
    return line;
  }

  get state(): RehearsalState {
    return this._state;
  }

  get text(): string {
    return this._text;
  }

  say(state: RehearsalState, text: string): void {
    this._state = state;
    this._text = text;
    if (!this.isDisposed) {
      this.toggleClass('jp-mod-failed', state === 'failed');
      this.parent?.fit();
      this.update();
    }
  }

  protected override render(): JSX.Element {
    const trans = this._trans;
    const [icon, tone] = LOOKS[this._state];
    const button = (command: string, label: string): JSX.Element => (
      <LinkButton
        onClick={() =>
          void this._commands.execute(command, {
            path: this._panel.context.path
          })
        }
      >
        {label}
      </LinkButton>
    );
    return (
      <>
        <ToneIcon icon={icon} tone={tone} />
        <span
          className="jp-FlipRehearsal-text"
          title={this._text}
          tabIndex={this._state === 'failed' ? 0 : undefined}
        >
          {this._text}
        </span>
        {this._state === 'passed' && (
          <>
            {button(
              CommandIDs.openRehearsed,
              trans.__('Open Executed Notebook')
            )}
            {button(CommandIDs.sendNotebook, trans.__('Send'))}
          </>
        )}
        {this._state !== 'running' && (
          <button
            type="button"
            className="jp-FlipRehearsal-close"
            title={trans.__('Close')}
            aria-label={trans.__('Close')}
            onClick={() => this.dispose()}
          >
            <closeIcon.react tag="span" width="14px" height="14px" />
          </button>
        )}
      </>
    );
  }

  private _state: RehearsalState = 'running';
  private _text = '';
}
