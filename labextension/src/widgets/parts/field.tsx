import type { JSX, ReactNode } from 'react';
import { useId } from 'react';

/**
 * What an input needs of its field, to be called by the label and described by the help.
 */
export interface IFieldInput {
  id: string;
  'aria-describedby': string;
}

/**
 * A line of a form: the label, the input, and a word of help or what is wrong with the value.
 */
export function Field(props: {
  label: ReactNode;
  help?: ReactNode;
  children: (input: IFieldInput) => ReactNode;
}): JSX.Element {
  const id = useId();
  const help = `${id}-help`;
  return (
    <>
      <label htmlFor={id} className="jp-FlipForm-label">
        {props.label}
      </label>
      {props.children({ id, 'aria-describedby': help })}
      <span id={help} className="jp-FlipForm-help">
        {props.help}
      </span>
    </>
  );
}
