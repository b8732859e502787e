import type { TranslationBundle } from '@jupyterlab/translation';

import type { IParameter } from '../contracts';

/**
 * A value of a parameter.
 */
export type Scalar = boolean | number | string;
/**
 * A value for each parameter, by its name: what one run is made with.
 */
export type Point = { [name: string]: Scalar };

/**
 * What a person typed for one parameter: a value, or several with commas between them, which make a sweep.
 */
export interface IReading {
  values: Scalar[];
  /**
   * What is wrong with it, for a person; empty where nothing is.
   */
  problem: string;
}

/**
 * A value as a person types it, booleans as in Python.
 */
export function shown(value: Scalar): string {
  return typeof value === 'boolean'
    ? value
      ? 'True'
      : 'False'
    : String(value);
}

/**
 * Read what was typed, in the parameter's type and within its bounds.
 */
export function readValues(
  trans: TranslationBundle,
  parameter: IParameter,
  text: string
): IReading {
  const parts =
    parameter.type === 'str' && parameter.choices.length === 0
      ? [text]
      : text.split(',').map(part => part.trim());
  const values: Scalar[] = [];
  for (const part of parts) {
    const value = readOne(parameter, part);
    if (value === null) {
      return {
        values: [],
        problem: trans.__('"%1" is no %2', part, parameter.type)
      };
    }
    const outside = outOfBounds(trans, parameter, value);
    if (outside) {
      return { values: [], problem: outside };
    }
    values.push(value);
  }
  const problem =
    values.length > 1 && isFixed(parameter)
      ? trans.__('Without bounds it has one value in a bundle')
      : '';
  return { values: problem ? [] : values, problem };
}

const MOST_SEED = 2147483647;

/**
 * Read what was typed as seeds of the split: one, or several with commas between them, which make a sweep.
 */
export function readSeeds(trans: TranslationBundle, text: string): IReading {
  const parts = text.split(',').map(part => part.trim());
  const wrong = parts.find(
    part => !/^\d+$/.test(part) || Number(part) > MOST_SEED
  );
  if (wrong !== undefined) {
    const problem = trans.__(
      '"%1" is no whole number from 0 to %2',
      wrong,
      MOST_SEED
    );
    return { values: [], problem };
  }
  return { values: [...new Set(parts.map(Number))], problem: '' };
}

/**
 * Every combination of the values, in the order of the parameters.
 */
export function grid(values: { [name: string]: Scalar[] }): Point[] {
  return Object.entries(values).reduce<Point[]>(
    (points, [name, choices]) =>
      points.flatMap(point =>
        choices.map(choice => ({ ...point, [name]: choice }))
      ),
    [{}]
  );
}

/**
 * "0.0001 to 1", or what may be chosen; empty for a parameter that a bundle fixes.
 */
function boundsText(trans: TranslationBundle, parameter: IParameter): string {
  if (parameter.choices.length > 0) {
    return parameter.choices.map(shown).join(', ');
  }
  const { minimum, maximum } = parameter;
  if (minimum !== null && maximum !== null) {
    return trans.__('%1 to %2', minimum, maximum);
  }
  return '';
}

/**
 * What a parameter is for and which values it takes, beside its input.
 */
export function helpText(
  trans: TranslationBundle,
  parameter: IParameter
): string {
  const bounds = boundsText(trans, parameter);
  return [parameter.help, bounds].filter(Boolean).join(', ');
}

function isFixed(parameter: IParameter): boolean {
  return (
    parameter.minimum === null &&
    parameter.maximum === null &&
    parameter.choices.length === 0
  );
}

function readOne(parameter: IParameter, text: string): Scalar | null {
  switch (parameter.type) {
    case 'str':
      return text;
    case 'bool':
      return { true: true, false: false }[text.toLowerCase()] ?? null;
    case 'int':
      return /^[+-]?\d+$/.test(text) ? Number(text) : null;
    case 'float': {
      const value = Number(text);
      return text !== '' && Number.isFinite(value) ? value : null;
    }
  }
}

function outOfBounds(
  trans: TranslationBundle,
  parameter: IParameter,
  value: Scalar
): string {
  if (parameter.choices.length > 0 && !parameter.choices.includes(value)) {
    return trans.__(
      '%1 is none of %2',
      shown(value),
      boundsText(trans, parameter)
    );
  }
  if (typeof value === 'number') {
    const { minimum, maximum } = parameter;
    if (
      (minimum !== null && value < minimum) ||
      (maximum !== null && value > maximum)
    ) {
      return trans.__('%1 is outside %2', value, boundsText(trans, parameter));
    }
  }
  return '';
}
