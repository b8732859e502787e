import type { TranslationBundle } from '@jupyterlab/translation';
import { FilterBox } from '@jupyterlab/ui-components';
import type { JSX } from 'react';
import { useEffect, useRef, useState } from 'react';

import type { IBrief, IRequestDetail, ISeenVariable } from '../../contracts';
import { Sentences } from './sentences';

const MANY = 40;

/**
 * A request on one page. Its words are made in Python, the same for terminal and approval page; `onEnd` is called once
 * its end is seen.
 */
export function Brief(props: {
  detail: IRequestDetail;
  trans: TranslationBundle;
  onEnd: () => void;
}): JSX.Element {
  const { detail, trans, onEnd } = props;
  const { brief } = detail;
  return (
    <div className="jp-FlipBrief">
      <Row title={trans.__('Who')}>
        {brief.who.map((sentence, index) => (
          <p key={index}>{sentence.text}</p>
        ))}
      </Row>
      <Row title={trans.__('Why')}>
        <p>{brief.why}</p>
      </Row>
      <Row title={trans.__('People')}>
        <p>{brief.people.text}</p>
        <details>
          <summary>{trans.__('The cohort in sentences')}</summary>
          <Sentences sentences={brief.people.parts} />
        </details>
      </Row>
      <Row title={trans.__('Since')}>
        <p>{brief.since.map(sentence => sentence.text).join(' ')}</p>
      </Row>
      <Row title={trans.__('Sees')}>
        <Sees brief={brief} trans={trans} />
      </Row>
      <Row title={trans.__('Training')}>
        {brief.training.map((sentence, index) => (
          <p key={index}>{sentence.text}</p>
        ))}
      </Row>
      <Row title={trans.__('Leaves')}>
        <Leaves detail={detail} trans={trans} />
      </Row>
      <Row title={trans.__('Flags')}>
        {brief.flags.length === 0 ? (
          <p>{trans.__('None.')}</p>
        ) : (
          <ul className="jp-FlipSentences">
            {brief.flags.map((flag, index) => (
              <li key={index}>
                <b aria-hidden="true">! </b>
                {flag}
              </li>
            ))}
          </ul>
        )}
      </Row>
      <Row title={trans.__('Waiting')}>
        <p>{brief.waiting}</p>
      </Row>
      <End onSeen={onEnd} />
    </div>
  );
}

function Row(props: { title: string; children: React.ReactNode }): JSX.Element {
  return (
    <section className="jp-FlipBrief-row">
      <h3>{props.title}</h3>
      <div>{props.children}</div>
    </section>
  );
}

/**
 * The end of a page; says when it comes into sight.
 */
function End({ onSeen }: { onSeen: () => void }): JSX.Element {
  const mark = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const observer = new IntersectionObserver(entries => {
      if (entries.some(entry => entry.isIntersecting)) {
        onSeen();
      }
    });
    if (mark.current) {
      observer.observe(mark.current);
    }
    return () => observer.disconnect();
  }, [onSeen]);
  return <div ref={mark} className="jp-FlipBrief-end" />;
}

function Sees(props: { brief: IBrief; trans: TranslationBundle }): JSX.Element {
  const { brief, trans } = props;
  const [fits, setFits] = useState<(text: string) => boolean>(() => () => true);
  const shown = brief.sees.filter(row => fits(`${row.name} ${row.label}`));
  return (
    <>
      {brief.sees.length > MANY && (
        <FilterBox
          useFuzzyFilter={false}
          caseSensitive={false}
          placeholder={trans.__('Filter variables')}
          updateFilter={filter =>
            setFits(() => (text: string) => filter(text) !== null)
          }
        />
      )}
      <table className="jp-FlipTable">
        <caption className="jp-FlipHidden">
          {trans.__('What the notebook sees of each person')}
        </caption>
        <thead>
          <tr>
            <th scope="col">{trans.__('Variable')}</th>
            <th scope="col">{trans.__('What it is')}</th>
            <th scope="col">{trans.__('Which record')}</th>
          </tr>
        </thead>
        <tbody>
          {shown.map(row => (
            <Seen key={row.name} row={row} trans={trans} />
          ))}
        </tbody>
      </table>
      {brief.beside.length > 0 && <Sentences sentences={brief.beside} />}
    </>
  );
}

function Seen(props: {
  row: ISeenVariable;
  trans: TranslationBundle;
}): JSX.Element {
  const { row, trans } = props;
  return (
    <tr>
      <th scope="row">
        {row.may_be_later && (
          <span title={trans.__('May be later than the index date')}>! </span>
        )}
        {row.name}
      </th>
      <td>
        {row.label && `${row.label}; `}
        {row.what}
      </td>
      <td>{row.window}</td>
    </tr>
  );
}

function Leaves(props: {
  detail: IRequestDetail;
  trans: TranslationBundle;
}): JSX.Element {
  const { detail, trans } = props;
  return (
    <>
      <table className="jp-FlipTable">
        <caption className="jp-FlipHidden">
          {trans.__('What leaves this Trust, with its bits at most')}
        </caption>
        <thead>
          <tr>
            <th scope="col">{trans.__('What leaves')}</th>
            <th scope="col">{trans.__('How often')}</th>
            <th scope="col">{trans.__('What it is')}</th>
            <th scope="col" className="jp-mod-number">
              {trans.__('Bits, at most')}
            </th>
          </tr>
        </thead>
        <tbody>
          {detail.brief.leaves.map((row, index) => (
            <tr key={index}>
              <th scope="row">{row.name}</th>
              <td>{row.times}</td>
              <td>
                {row.counted ? trans.__('%1 (counted)', row.what) : row.what}
              </td>
              <td className="jp-mod-number">{row.bits.toLocaleString()}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p className="jp-FlipBanner jp-mod-warn">{detail.brief.caution}</p>
      <p>{detail.bits_told}</p>
    </>
  );
}
