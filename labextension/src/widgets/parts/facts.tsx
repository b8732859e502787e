import type { JSX } from 'react';

/**
 * Names with their values, one pair a line.
 */
export function Facts(props: {
  facts: ReadonlyArray<readonly [string, string]>;
}): JSX.Element {
  return (
    <dl className="jp-FlipFacts">
      {props.facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
