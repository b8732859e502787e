import type { Dialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { JSX } from 'react';

import type { IBundle, IParameter } from '../../contracts';
import type { Point } from '../../models/parameters';
import { helpText, readValues, shown } from '../../models/parameters';
import { Field } from '../parts/field';

/**
 * A dialog's body: one value for each parameter of a bundle. Its value is null while one of them is not valid.
 */
export class CloneForm
  extends ReactWidget
  implements Dialog.IBodyWidget<Point | null>
{
  constructor(
    private readonly _bundle: IBundle,
    point: Point,
    private readonly _trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-FlipClone');
    for (const parameter of _bundle.parameters) {
      const value = point[parameter.name] ?? parameter.default;
      this._texts[parameter.name] = shown(value);
    }
  }

  getValue(): Point | null {
    const point: Point = {};
    for (const parameter of this._bundle.parameters) {
      const { values } = this._read(parameter);
      if (values.length !== 1) {
        return null;
      }
      point[parameter.name] = values[0];
    }
    return point;
  }

  protected override render(): JSX.Element {
    const trans = this._trans;
    return (
      <>
        <p>
          {trans.__(
            'The same bundle at another point of its parameter space. A Trust whose approval still holds need not decide again.'
          )}
        </p>
        <div className="jp-FlipForm">
          {this._bundle.parameters.map(parameter => (
            <Field
              key={parameter.name}
              label={<code>{parameter.name}</code>}
              help={this._read(parameter).problem || helpText(trans, parameter)}
            >
              {input => (
                <input
                  {...input}
                  type="text"
                  className="jp-mod-styled"
                  value={this._texts[parameter.name]}
                  aria-invalid={this._read(parameter).problem !== ''}
                  onChange={event => {
                    this._texts[parameter.name] = event.target.value;
                    this.update();
                  }}
                />
              )}
            </Field>
          ))}
        </div>
      </>
    );
  }

  private _read(parameter: IParameter): ReturnType<typeof readValues> {
    const text = this._texts[parameter.name];
    const reading = readValues(this._trans, parameter, text);
    return reading.values.length > 1
      ? { values: [], problem: this._trans.__('One value for one run') }
      : reading;
  }

  private readonly _texts: { [name: string]: string } = {};
}
