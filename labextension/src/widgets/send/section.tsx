import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { JSX, ReactNode } from 'react';
import { useId } from 'react';

import type { SendModel } from '../../models/send';

/**
 * What the view of the way to the Trusts is made of.
 */
export interface ISendProps {
  model: SendModel;
  commands: CommandRegistry;
  trans: TranslationBundle;
  /**
   * Show a cell of the notebook, by its id.
   */
  goToCell: (id: string) => void;
  /**
   * Tag the first code cell as the one with the parameters.
   */
  tagParameters: () => void;
  /**
   * Ask, then sign and send.
   */
  confirmAndSend: () => void;
}

/**
 * A part of the form, with its title.
 */
export function Section(props: {
  title: string;
  note?: ReactNode;
  children: ReactNode;
}): JSX.Element {
  const id = useId();
  return (
    <section className="jp-FlipView-section" aria-labelledby={id}>
      <h3 id={id}>
        {props.title}
        {props.note && <span className="jp-FlipView-note">{props.note}</span>}
      </h3>
      {props.children}
    </section>
  );
}
