/** Lists that come in pages: iterated item by item, or page by page. */

/** One page. `nextCursor` is null on the last one. */
export interface Page<Item> {
  items: Item[];
  nextCursor: string | number | null;
}

/**
 * A list that is read as it is iterated: `for await (const item of list)`, or page by page with
 * `list.pages()`. Each iteration reads anew.
 */
export class Paged<Item, P extends Page<Item> = Page<Item>> implements AsyncIterable<Item> {
  readonly #read: (cursor: string | number | undefined) => Promise<P>;
  readonly #first: string | number | undefined;

  constructor(
    read: (cursor: string | number | undefined) => Promise<P>,
    first?: string | number | undefined,
  ) {
    this.#read = read;
    this.#first = first;
  }

  async *pages(): AsyncGenerator<P, void, undefined> {
    let cursor = this.#first;
    for (;;) {
      const page = await this.#read(cursor);
      yield page;
      if (page.nextCursor === null) return;
      cursor = page.nextCursor;
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Item, void, undefined> {
    for await (const page of this.pages()) yield* page.items;
  }
}
