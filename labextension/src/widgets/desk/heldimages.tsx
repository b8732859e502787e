import type { TranslationBundle } from '@jupyterlab/translation';
import { HTMLSelect } from '@jupyterlab/ui-components';
import type { JSX, KeyboardEvent } from 'react';
import { useEffect, useRef, useState } from 'react';

import { messageOf } from '../../api';
import type { IHeldImage, IImageMark } from '../../contracts';
import type { HeldImagesModel } from '../../models/heldimages';
import { LinkButton } from '../parts/linkbutton';
import { Problem } from '../parts/problem';
import { Region } from '../parts/region';
import { useSignal } from '../parts/signal';

/**
 * What the view of held images is made of.
 */
export interface IHeldImagesProps {
  model: HeldImagesModel;
  trans: TranslationBundle;
}

/**
 * Images that are held back: each with its picture and why, to be released, covered or refused by single keys, which
 * hold only while the view has the focus.
 */
export class HeldImagesView extends Region<IHeldImagesProps> {
  constructor(props: IHeldImagesProps) {
    const look = {
      className: 'jp-FlipDesk',
      label: props.trans.__('Held images')
    };
    super(HeldImages, props, look, props.model);
  }
}

function HeldImages(props: IHeldImagesProps): JSX.Element {
  const { model, trans } = props;
  useSignal(model.changed);
  useSignal(model.desk.changed);
  const { images } = model;
  const acts: { [key: string]: () => void } = {
    r: () => model.decide('release'),
    b: () => model.decide('blank'),
    x: () => model.decide('refuse'),
    z: () => model.undo(),
    j: () => model.choose(model.index + 1),
    k: () => model.choose(model.index - 1),
    ArrowDown: () => model.choose(model.index + 1),
    ArrowUp: () => model.choose(model.index - 1),
    Home: () => model.choose(0),
    End: () => model.choose((images?.length ?? 1) - 1)
  };

  function press(event: KeyboardEvent<HTMLElement>): void {
    const { key, target } = event;
    const act = acts[key.length === 1 ? key.toLowerCase() : key];
    const typing = target instanceof HTMLSelectElement;
    if (act && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      event.stopPropagation();
      act();
    }
  }

  return (
    <div className="jp-FlipView" onKeyDown={press}>
      <div className="jp-FlipView-header">
        <h2>{trans.__('Held Images')}</h2>
        <span className="jp-FlipView-note" role="status">
          {trans._n('%1 image waits', '%1 images wait', model.waiting)}
        </span>
        <Person {...props} />
        <button
          type="button"
          className="jp-mod-styled jp-mod-reject"
          aria-keyshortcuts="z"
          disabled={!model.mayUndo}
          onClick={() => model.undo()}
        >
          {trans.__('Undo (Z)')}
        </button>
      </div>
      <Problem text={model.problem} />
      {images === null ? (
        <p className="jp-FlipEmpty">{trans.__('Loading…')}</p>
      ) : images.length === 0 ? (
        <p className="jp-FlipEmpty">{trans.__('No image is held back.')}</p>
      ) : (
        <div className="jp-FlipHeld">
          <List {...props} images={images} />
          {model.current && <Image {...props} image={model.current} />}
        </div>
      )}
      <p className="jp-FlipView-note">
        {trans.__(
          'The next load of images carries decisions out: flip images load. Until then they can be changed.'
        )}
      </p>
    </div>
  );
}

function Person(props: IHeldImagesProps): JSX.Element | null {
  const { model, trans } = props;
  const known = model.desk.status?.controllers ?? [];
  return known.length > 1 ? (
    <label>
      {trans.__('You are')}{' '}
      <HTMLSelect
        value={model.desk.person}
        onChange={event => {
          model.desk.person = event.target.value;
        }}
      >
        <option value="">{trans.__('choose your name')}</option>
        {known.map(name => (
          <option key={name}>{name}</option>
        ))}
      </HTMLSelect>
    </label>
  ) : null;
}

/**
 * The page's images; the list has the focus, and says which of them is looked at.
 */
function List(
  props: IHeldImagesProps & { images: ReadonlyArray<IHeldImage> }
): JSX.Element {
  const { model, trans, images } = props;
  const list = useRef<HTMLUListElement>(null);
  const { index, page } = model;
  useEffect(() => {
    list.current?.focus();
  }, [page]);
  useEffect(() => {
    list.current?.children[index]?.scrollIntoView({ block: 'nearest' });
  }, [index, images.length]);
  return (
    <div className="jp-FlipHeld-side">
      <ul
        className="jp-FlipHeld-list"
        role="listbox"
        aria-label={trans.__('Held images')}
        aria-activedescendant={`flip-held-${index}`}
        aria-keyshortcuts="r b x z j k"
        tabIndex={0}
        ref={list}
      >
        {images.map((image, at) => (
          <li
            key={image.image}
            id={`flip-held-${at}`}
            role="option"
            aria-selected={at === index}
            onClick={() => model.choose(at)}
          >
            <code>{image.person.slice(0, 8)}</code> {image.kind}{' '}
            <span>{decisionWord(trans, image)}</span>
          </li>
        ))}
      </ul>
      {(page > 0 || model.hasNext) && (
        <div className="jp-FlipHeld-pages">
          {page > 0 && (
            <LinkButton onClick={() => void model.previousPage()}>
              {trans.__('Previous page')}
            </LinkButton>
          )}
          <span>{trans.__('Page %1', page + 1)}</span>
          {model.hasNext && (
            <LinkButton onClick={() => void model.nextPage()}>
              {trans.__('Next page')}
            </LinkButton>
          )}
        </div>
      )}
    </div>
  );
}

function Image(props: IHeldImagesProps & { image: IHeldImage }): JSX.Element {
  const { model, trans, image } = props;
  const acts = [
    ['release', 'r', trans.__('Release (R)')],
    ['blank', 'b', trans.__('Blank Text (B)')],
    ['refuse', 'x', trans.__('Refuse (X)')]
  ] as const;
  return (
    <div className="jp-FlipHeld-image">
      <p role="status">
        {trans.__(
          'Image %1 of %2 on this page: %3, %4',
          model.index + 1,
          model.images?.length ?? 0,
          image.kind || trans.__('unknown kind'),
          decisionWord(trans, image)
        )}
      </p>
      <Picture {...props} key={`${image.image} ${model.frame}`} />
      <ul>
        {image.reasons.map((reason, at) => (
          <li key={at}>{reason}</li>
        ))}
        {image.texts.map((text, at) => (
          <li key={`text ${at}`}>
            {trans.__('Frame %1 reads “%2”', text.frame + 1, text.text)}
          </li>
        ))}
      </ul>
      <div className="jp-FlipView-footer">
        <span className="jp-FlipView-note">{whyNot(trans, model, image)}</span>
        {acts.map(([decision, key, label]) => (
          <button
            key={decision}
            type="button"
            className={`jp-mod-styled ${LOOKS[decision]}`}
            aria-keyshortcuts={key}
            disabled={model.refusal(decision) !== ''}
            onClick={() => model.decide(decision)}
          >
            {label}
          </button>
        ))}
      </div>
    </div>
  );
}

const LOOKS: { [decision in IImageMark['decision']]?: string } = {
  release: 'jp-mod-accept',
  blank: 'jp-mod-reject',
  refuse: 'jp-mod-warn'
};

/**
 * The picture that the enclave drew, with a box around each text; nothing but a PNG is ever shown.
 */
function Picture(props: IHeldImagesProps & { image: IHeldImage }): JSX.Element {
  const { model, trans, image } = props;
  const { frame } = model;
  const [address, setAddress] = useState('');
  const [problem, setProblem] = useState('');
  useEffect(() => {
    let shown = true;
    if (frame !== null) {
      model.picture(image.image, frame).then(
        made => shown && setAddress(made),
        error => shown && setProblem(messageOf(error))
      );
    }
    return () => {
      shown = false;
    };
  }, [model, image.image, frame]);
  if (frame === null) {
    return (
      <p className="jp-FlipEmpty">
        {trans.__('This image could not be drawn.')}
      </p>
    );
  }
  const within = image.texts.filter(text => text.frame === frame).length;
  return (
    <>
      <Problem text={problem} />
      <div className="jp-FlipHeld-picture">
        {address && (
          <img
            src={address}
            alt={trans._n(
              'Frame %2, %1 text in a box',
              'Frame %2, %1 texts in boxes',
              within,
              frame + 1
            )}
          />
        )}
      </div>
      {image.frames.length > 1 && (
        <label>
          {trans.__('Frame')}{' '}
          <HTMLSelect
            value={frame}
            onChange={event => model.chooseFrame(Number(event.target.value))}
          >
            {image.frames.map(one => (
              <option key={one} value={one}>
                {one + 1}
              </option>
            ))}
          </HTMLSelect>
        </label>
      )}
    </>
  );
}

function decisionWord(trans: TranslationBundle, image: IHeldImage): string {
  switch (image.decision) {
    case 'release':
      return trans.__('release');
    case 'blank':
      return trans.__('blank');
    case 'refuse':
      return trans.__('refuse');
    default:
      return trans.__('waits');
  }
}

function whyNot(
  trans: TranslationBundle,
  model: HeldImagesModel,
  image: IHeldImage
): string {
  switch (model.refusal('blank')) {
    case 'nobody':
      return trans.__('Say who you are.');
    case 'final':
      return trans.__('A load carries this decision out.');
    case 'not-coverable':
      return image.reasons.length > 0
        ? trans.__('Covering text does not settle why it is held.')
        : '';
    default:
      return '';
  }
}
