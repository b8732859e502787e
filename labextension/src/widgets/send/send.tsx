import {
  caretRightIcon,
  checkIcon,
  errorIcon
} from '@jupyterlab/ui-components';
import type { JSX } from 'react';

import type { IShownFile } from '../../contracts';
import type { SendModel } from '../../models/send';
import { clock } from '../../models/wording';
import { ContactBanner } from '../parts/contactbanner';
import { LinkButton } from '../parts/linkbutton';
import { Problem } from '../parts/problem';
import { Region } from '../parts/region';
import { useSignal } from '../parts/signal';
import { ToneIcon } from '../parts/states';
import { Checks } from './checks';
import { Parameters, PlanFields, Trusts } from './form';
import type { ISendProps } from './section';
import { Section } from './section';
import { Sent } from './sent';

/**
 * The way of a notebook to the Trusts: checks, form, the exact bundle, the receipts.
 */
export class SendView extends Region<ISendProps> {
  constructor(props: ISendProps) {
    const look = {
      className: 'jp-FlipSend',
      label: props.trans.__('Send to Trusts')
    };
    super(Send, props, look, props.model);
  }

  get model(): SendModel {
    return this.props.model;
  }
}

function Send(props: ISendProps): JSX.Element {
  const { model, commands, trans } = props;
  useSignal(model.changed);
  if (model.receipt !== null) {
    return <Sent {...props} />;
  }
  return (
    <div className="jp-FlipView">
      <div className="jp-FlipView-header">
        <h2>{model.path.split('/').pop()}</h2>
        <span className="jp-FlipView-note">
          {model.checked
            ? trans.__('saved and checked %1', clock(model.checked))
            : trans.__('saving…')}
        </span>
        <button
          type="button"
          className="jp-mod-styled jp-mod-reject"
          disabled={model.activity !== null}
          onClick={() => void model.check()}
        >
          {trans.__('Check Again')}
        </button>
      </div>
      <ContactBanner
        workbench={model.workbench}
        commands={commands}
        trans={trans}
      />
      <Problem text={model.problem} />
      <Checks {...props} />
      {model.draft !== null && (
        <>
          <Parameters {...props} />
          <PlanFields {...props} />
          <Trusts {...props} />
          <BundleShown {...props} />
          <Shapes {...props} />
        </>
      )}
      <Footer {...props} />
    </div>
  );
}

function BundleShown(props: ISendProps): JSX.Element {
  const { model, trans } = props;
  const { preview } = model;
  if (preview === null) {
    return (
      <Section title={trans.__('Bundle')}>
        <p className="jp-FlipView-note" role="status">
          {model.activity === 'preparing'
            ? trans.__('Making the exact bundle…')
            : model.obstacle ||
              trans.__('It is made when the form is complete.')}
        </p>
      </Section>
    );
  }
  return (
    <Section
      title={trans.__('Bundle')}
      note={trans.__('%1 kB', Math.ceil(preview.size / 1000))}
    >
      <p className="jp-FlipDigest">
        <code title={preview.bundle}>{preview.bundle}</code>
        <LinkButton
          onClick={() => void navigator.clipboard.writeText(preview.bundle)}
        >
          {trans.__('Copy Digest')}
        </LinkButton>
      </p>
      {model.approved.length > 0 && (
        <ul className="jp-FlipIssues" aria-label={trans.__('Approved already')}>
          {model.approved.map(({ trust, left }) => (
            <li key={trust.key} className="jp-FlipIssue">
              <ToneIcon icon={checkIcon} tone="success" />
              {trans._n(
                'Approved already at %2, %1 execution left.',
                'Approved already at %2, %1 executions left.',
                left,
                trust.title
              )}
            </li>
          ))}
        </ul>
      )}
      {preview.files.length > 0 && (
        <details className="jp-FlipContents">
          <summary>
            <caretRightIcon.react tag="span" width="14px" />
            {trans._n(
              'View the %1 File that goes with it',
              'View the %1 Files that go with it',
              preview.files.length
            )}
          </summary>
          {preview.files.map(shown => (
            <section key={shown.file.name}>
              <h4>
                {trans.__(
                  '%1, %2 kB',
                  shown.file.name,
                  Math.ceil(shown.file.size / 1000)
                )}
              </h4>
              <pre tabIndex={0}>{textOf(shown)}</pre>
            </section>
          ))}
        </details>
      )}
      <details className="jp-FlipContents">
        <summary>
          <caretRightIcon.react tag="span" width="14px" />
          {trans.__('View Contents: exactly what each Trust will be shown')}
        </summary>
        <pre tabIndex={0}>{JSON.stringify(preview.content, null, 2)}</pre>
      </details>
    </Section>
  );
}

/**
 * A module's source, or what weights are made of, a tensor a line.
 */
function textOf(shown: IShownFile): string {
  return shown.kind === 'module'
    ? shown.source
    : shown.tensors
        .map(
          ({ name, shape, dtype }) =>
            `${name}: ${shape.join(' x ') || '1'} ${dtype}`
        )
        .join('\n');
}

/**
 * Whether the model is the rehearsed one at each point that is to be sent; nothing before there is a bundle.
 */
function Shapes(props: ISendProps): JSX.Element | null {
  const { model, trans } = props;
  const { preview, shapes } = model;
  if (preview === null) {
    return null;
  }
  const isGoing = model.activity === 'modelling';
  const points = new Set(preview.points.map(point => JSON.stringify(point)));
  const of = shapes?.of ?? points.size;
  return (
    <Section title={trans.__('Model')}>
      <p className="jp-FlipIssue" role="status">
        {shapes?.problem ? (
          <>
            <ToneIcon icon={errorIcon} tone="error" />
            <span className="jp-FlipIssue-text">{shapes.problem}</span>
          </>
        ) : model.isReady ? (
          <>
            <ToneIcon icon={checkIcon} tone="success" />
            {trans._n(
              'The rehearsed one at the point that is sent.',
              'The rehearsed one at each of %1 points.',
              of
            )}
          </>
        ) : (
          <span className="jp-FlipIssue-text">
            {trans.__(
              'Running the notebook on the twin at each point until its model is known: %1 of %2.',
              shapes?.checked ?? 0,
              of
            )}
          </span>
        )}
        {isGoing && !model.isReady && (
          <LinkButton onClick={() => model.stopShapes()}>
            {trans.__('Stop')}
          </LinkButton>
        )}
        {!isGoing && !model.isReady && !shapes?.problem && (
          <LinkButton onClick={() => void model.checkShapes()}>
            {trans.__('Go On')}
          </LinkButton>
        )}
      </p>
    </Section>
  );
}

function Footer(props: ISendProps): JSX.Element {
  const { model, trans } = props;
  const ready = model.isReady && model.activity === null;
  const obstacle = model.obstacle;
  return (
    <div className="jp-FlipView-footer">
      <span role="status" className="jp-FlipView-note">
        {obstacle ||
          (model.runs > 1
            ? trans.__('%1 runs, a sweep', model.runs)
            : trans.__('1 run'))}
      </span>
      <button
        type="button"
        className="jp-mod-styled jp-mod-accept"
        disabled={!ready || obstacle !== ''}
        onClick={props.confirmAndSend}
      >
        {model.activity === 'sending'
          ? trans.__('Sending…')
          : trans._n(
              'Sign and Send to %1 Trust',
              'Sign and Send to %1 Trusts',
              model.chosen.length
            )}
      </button>
    </div>
  );
}
