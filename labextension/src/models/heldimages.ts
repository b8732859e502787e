import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { messageOf } from '../api';
import type { IHeldImage, IImageMark } from '../contracts';
import type { IDesk } from '../tokens';

type Decision = IImageMark['decision'];

const KEPT_PICTURES = 12;
const AHEAD = 2;

interface IStep {
  image: string;
  before: IHeldImage['decision'];
}

/**
 * Images that are held back, a page at a time, and what is decided about them. Each decision shows at once and is sent
 * in its turn; one that is refused is taken back here, and the reason shown. Pictures are kept in memory alone.
 */
export class HeldImagesModel {
  constructor(readonly desk: IDesk) {
    void this._load('');
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /**
   * The images of this page, the longest held first; null before the first answer.
   */
  get images(): ReadonlyArray<IHeldImage> | null {
    return this._images;
  }

  /**
   * How many images of all pages wait.
   */
  get waiting(): number {
    return this._waiting;
  }

  /**
   * The number of this page, from 0.
   */
  get page(): number {
    return this._before.length;
  }

  get hasNext(): boolean {
    return this._hasNext;
  }

  get index(): number {
    return this._index;
  }

  /**
   * The image that is looked at; null where the page has none.
   */
  get current(): IHeldImage | null {
    return this._images?.[this._index] ?? null;
  }

  get problem(): string {
    return this._problem;
  }

  get mayUndo(): boolean {
    return this._steps.length > 0;
  }

  /**
   * The frame of the current image that is looked at; null where none could be drawn.
   */
  get frame(): number | null {
    return this.current?.frames[this._frame] ?? null;
  }

  /**
   * Why the current image can not be decided so now; empty where it can.
   */
  refusal(decision: Decision): 'nobody' | 'final' | 'not-coverable' | '' {
    if (this.desk.person === '') {
      return 'nobody';
    }
    if (this.current === null || this.current.final) {
      return 'final';
    }
    return decision === 'blank' && !mayBlank(this.current)
      ? 'not-coverable'
      : '';
  }

  choose(index: number): void {
    const last = (this._images?.length ?? 0) - 1;
    this._index = Math.max(0, Math.min(index, last));
    this._frame = 0;
    this._lookAhead();
    this._changed.emit();
  }

  /**
   * Look at another frame of the current image that has a picture.
   */
  chooseFrame(frame: number): void {
    this._frame = Math.max(0, this.current?.frames.indexOf(frame) ?? 0);
    this._changed.emit();
  }

  /**
   * Decide about the current image, and go to the next one that waits on this page.
   */
  decide(decision: Decision): void {
    const { current } = this;
    if (current === null || this.refusal(decision) !== '') {
      return;
    }
    this._steps.push({ image: current.image, before: current.decision });
    this._send(current, decision);
    const next = (this._images ?? []).findIndex(
      (image, at) => at > this._index && image.decision === null
    );
    this.choose(next < 0 ? this._index : next);
  }

  /**
   * Take the last decision back, and look at its image again.
   */
  undo(): void {
    const step = this._steps.pop();
    const index = (this._images ?? []).findIndex(
      image => image.image === step?.image
    );
    if (step === undefined || index < 0) {
      return;
    }
    this._send((this._images ?? [])[index], step.before ?? 'withdraw');
    this.choose(index);
  }

  /**
   * Resolves when all that was decided is sent.
   */
  settled(): Promise<void> {
    return this._sending;
  }

  async nextPage(): Promise<void> {
    const last = this._images?.at(-1);
    if (last !== undefined) {
      await this.settled();
      this._before.push(this._after);
      await this._load(last.image);
    }
  }

  async previousPage(): Promise<void> {
    const before = this._before.pop();
    if (before !== undefined) {
      await this.settled();
      await this._load(before);
    }
  }

  /**
   * The picture of a frame, as an address within this page.
   */
  picture(image: string, frame: number): Promise<string> {
    const key = `${image} ${frame}`;
    const known = this._pictures.get(key);
    if (known !== undefined) {
      return known;
    }
    const made = this.desk
      .heldPicture(image, frame)
      .then(({ picture }) => URL.createObjectURL(asPng(picture)));
    this._pictures.set(key, made);
    made.catch(() => this._pictures.delete(key));
    for (const [old, address] of this._pictures) {
      if (this._pictures.size <= KEPT_PICTURES) {
        break;
      }
      this._pictures.delete(old);
      revoke(address);
    }
    return made;
  }

  dispose(): void {
    this._isDisposed = true;
    this._pictures.forEach(revoke);
    this._pictures.clear();
    Signal.clearData(this);
  }

  private async _load(after: string): Promise<void> {
    try {
      const found = await this.desk.heldImages(after);
      if (this._isDisposed) {
        return;
      }
      this._images = found.images;
      this._waiting = found.waiting;
      this._after = after;
      this._steps = [];
      this._problem = '';
      const last = found.images.at(-1);
      this._hasNext =
        last !== undefined &&
        (await this.desk.heldImages(last.image)).images.length > 0;
      const first = found.images.findIndex(image => image.decision === null);
      this.choose(Math.max(0, first));
    } catch (error) {
      this._problem = messageOf(error);
      this._changed.emit();
    }
  }

  private _send(image: IHeldImage, decision: Decision): void {
    const mark = { controller: this.desk.person, decision };
    this._put({
      ...image,
      decision: decision === 'withdraw' ? null : decision,
      controller: mark.controller
    });
    const number = (this._sent.get(image.image) ?? 0) + 1;
    this._sent.set(image.image, number);
    this._sending = this._sending.then(async () => {
      let now = image;
      try {
        now = await this.desk.decideImage(image.image, mark);
        this._problem = '';
      } catch (error) {
        this._problem = messageOf(error);
        this._steps = this._steps.filter(step => step.image !== image.image);
      }
      // Where it was decided anew meanwhile, that is what shows.
      if (this._sent.get(image.image) === number) {
        this._put(now);
      }
      this._changed.emit();
    });
  }

  /**
   * The image as it is now, in its place; whether it waits is counted.
   */
  private _put(image: IHeldImage): void {
    const known = this._images?.find(one => one.image === image.image);
    if (known !== undefined) {
      this._waiting +=
        Number(image.decision === null) - Number(known.decision === null);
      this._images = (this._images ?? []).map(one =>
        one === known ? image : one
      );
    }
  }

  private _lookAhead(): void {
    const near = (this._images ?? []).slice(
      this._index,
      this._index + 1 + AHEAD
    );
    for (const { image, frames } of near) {
      if (frames.length > 0) {
        this.picture(image, frames[0]).catch(() => undefined);
      }
    }
  }

  private _images: ReadonlyArray<IHeldImage> | null = null;
  private _waiting = 0;
  private _after = '';
  private _before: string[] = [];
  private _hasNext = false;
  private _index = 0;
  private _frame = 0;
  private _problem = '';
  private _steps: IStep[] = [];
  private _sending: Promise<void> = Promise.resolve();
  private _isDisposed = false;
  private readonly _sent = new Map<string, number>();
  private readonly _pictures = new Map<string, Promise<string>>();
  private readonly _changed = new Signal<this, void>(this);
}

/**
 * Whether covering the texts that were found settles why an image is held.
 */
export function mayBlank(image: IHeldImage): boolean {
  return image.coverable && image.texts.length > 0;
}

function asPng(base64: string): Blob {
  const bytes = Uint8Array.from(atob(base64), letter => letter.charCodeAt(0));
  return new Blob([bytes], { type: 'image/png' });
}

function revoke(address: Promise<string>): void {
  address.then(
    made => URL.revokeObjectURL(made),
    () => undefined
  );
}
