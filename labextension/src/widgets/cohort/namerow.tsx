import type { JSX } from 'react';

import { LinkButton } from '../parts/linkbutton';

/**
 * The name of a set or a rule, and its removal.
 */
export function NameRow(props: {
  label: string;
  placeholder: string;
  name: string;
  onName: (name: string) => void;
  removal: string;
  onRemove: () => void;
}): JSX.Element {
  return (
    <p className="jp-FlipCriterion">
      <input
        className="jp-mod-styled jp-FlipName"
        aria-label={props.label}
        placeholder={props.placeholder}
        value={props.name}
        onChange={event => props.onName(event.target.value)}
      />
      <LinkButton onClick={props.onRemove}>{props.removal}</LinkButton>
    </p>
  );
}
