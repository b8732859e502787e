import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';
import { useState } from 'react';

import type { IBuiltEnvironment, ITrustCard } from '../../contracts';
import { clock, memory } from '../../models/wording';
import type { IWorkbench } from '../../tokens';
import { ContactBanner } from '../parts/contactbanner';
import { Facts } from '../parts/facts';
import { LinkButton } from '../parts/linkbutton';
import { Region } from '../parts/region';
import { useSignal } from '../parts/signal';
import type { ISectionProps } from './sidepanel';
import { TrustDot } from './trustdot';

/**
 * What the view of a Trust is made of; `trust` is its key.
 */
export interface ITrustProps extends ISectionProps {
  trust: string;
}

/**
 * A Trust as its signed card says: data, machine, what it allows, and every package of its environments.
 */
export class TrustView extends Region<ITrustProps> {
  constructor(props: ITrustProps) {
    const look = { className: 'jp-FlipTrust', label: props.trans.__('Trust') };
    super(Trust, props, look);
  }

  get trust(): string {
    return this.props.trust;
  }
}

function Trust(props: ITrustProps): JSX.Element {
  const { workbench, trans } = props;
  useSignal(workbench.changed);
  const known = workbench.trusts.find(trust => trust.key === props.trust);
  if (known === undefined) {
    return (
      <div className="jp-FlipView">
        <p className="jp-FlipEmpty" role="status">
          {workbench.ready
            ? trans.__('This study has no such Trust.')
            : trans.__('Loading…')}
        </p>
      </div>
    );
  }
  return (
    <div className="jp-FlipView">
      <div className="jp-FlipView-header">
        <TrustDot trust={known} workbench={workbench} />
        <h2>{known.title}</h2>
        <span className="jp-FlipView-note">
          {contactText(trans, workbench, known)}
        </span>
      </div>
      <ContactBanner {...props} />
      {known.card === null ? (
        <p className="jp-FlipEmpty">
          {trans.__('This Trust has not said anything of itself yet.')}
        </p>
      ) : (
        <>
          <Facts facts={cardFacts(trans, known.card)} />
          <Packages environments={known.card.environments} trans={trans} />
        </>
      )}
      <section className="jp-FlipView-section">
        <h3>{trans.__('Key')}</h3>
        <code className="jp-FlipDigest">
          {known.key.match(/.{8}/g)?.join(' ')}
        </code>
      </section>
    </div>
  );
}

/**
 * "online, heard now", "since 14:02" or "not joined yet".
 */
export function contactText(
  trans: TranslationBundle,
  workbench: Pick<IWorkbench, 'away'>,
  trust: { joined: boolean; online: boolean; heard: string | null }
): string {
  if (!trust.joined) {
    return trans.__('not joined yet');
  }
  const since = workbench.away ?? (trust.online ? null : trust.heard);
  if (since !== null) {
    return trans.__('since %1', clock(since));
  }
  return trust.online ? trans.__('online') : trans.__('not heard yet');
}

/**
 * What a Trust says of its data and machine, and what its policy allows.
 */
export function cardFacts(
  trans: TranslationBundle,
  card: ITrustCard
): [string, string][] {
  const { allowance } = card;
  const yes = trans.__('yes');
  const no = trans.__('no');
  return [
    [
      trans.__('Data'),
      card.data ? trans.__('loaded %1', clock(card.data)) : trans.__('none yet')
    ],
    [
      trans.__('Machine'),
      trans.__('%1 GPU, %2 runs at once', card.gpus, card.slots)
    ],
    [trans.__('Own metrics leave'), allowance.per_trust_metrics ? yes : no],
    [trans.__('Single updates leave'), allowance.individual_updates ? yes : no],
    [
      trans.__('Needs'),
      trans.__(
        '%1 Trusts, %2 people to train on',
        allowance.minimum_trusts,
        allowance.minimum_train
      )
    ],
    [
      trans.__('Allows'),
      trans.__(
        '%1 rounds, clip norm %2',
        allowance.maximum_rounds.toLocaleString(),
        allowance.maximum_clip_norm.toLocaleString()
      )
    ],
    [
      trans.__('Takes'),
      allowance.attached_bytes > 0
        ? trans.__(
            'files of up to %1 with a notebook',
            memory(trans, allowance.attached_bytes)
          )
        : trans.__('no files with a notebook')
    ]
  ];
}

function Packages(props: {
  environments: ReadonlyArray<IBuiltEnvironment>;
  trans: TranslationBundle;
}): JSX.Element {
  const { environments, trans } = props;
  const [chosen, setChosen] = useState(0);
  const [filter, setFilter] = useState('');
  const built = environments[Math.min(chosen, environments.length - 1)];
  if (built === undefined) {
    return (
      <p className="jp-FlipEmpty">
        {trans.__('It has built no environment yet.')}
      </p>
    );
  }
  const found = built.distributions.filter(name =>
    name.includes(filter.trim().toLowerCase())
  );
  const text = found
    .map(name => `${name}==${built.releases[name] ?? ''}`.replace(/==$/, ''))
    .join('\n');
  return (
    <section className="jp-FlipView-section jp-FlipPackages">
      <h3>{trans.__('Packages')}</h3>
      <div className="jp-FlipRuns-filters">
        <select
          className="jp-mod-styled"
          aria-label={trans.__('Environment')}
          value={chosen}
          onChange={event => setChosen(Number(event.target.value))}
        >
          {environments.map((environment, index) => (
            <option key={environment.lock} value={index}>
              {environment.name}
            </option>
          ))}
        </select>
        <input
          type="search"
          className="jp-mod-styled"
          placeholder={trans.__('Filter packages')}
          aria-label={trans.__('Filter packages')}
          value={filter}
          onChange={event => setFilter(event.target.value)}
        />
        <span className="jp-FlipView-note" role="status">
          {found.length === built.distributions.length
            ? trans._n('%1 package', '%1 packages', found.length)
            : trans.__(
                '%1 of %2 packages',
                found.length,
                built.distributions.length
              )}
        </span>
        <LinkButton onClick={() => void navigator.clipboard.writeText(text)}>
          {trans.__('Copy as Text')}
        </LinkButton>
      </div>
      {found.length === 0 ? (
        <p className="jp-FlipEmpty">{trans.__('No package fits.')}</p>
      ) : (
        <ul className="jp-FlipPackages-list" tabIndex={0}>
          {found.map(name => (
            <li key={name}>
              {name} <span>{built.releases[name] ?? ''}</span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
