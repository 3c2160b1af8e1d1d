import { Component, type ComponentChild, type ComponentType, createElement } from "preact";

/** A component that is drawn again only when `same` says that its properties differ. */
export function memo<P extends object>(
  view: ComponentType<P> & ((props: P) => ComponentChild),
  same: (before: P, after: P) => boolean = shallowlySame,
): ComponentType<P> {
  return class Memo extends Component<P> {
    override shouldComponentUpdate(next: Readonly<P>) {
      return !same(this.props as P, next as P);
    }
    override render() {
      return createElement(view, this.props as P);
    }
  };
}

/** The same properties; lists are compared by what is in them. */
export function shallowlySame<P extends object>(before: P, after: P): boolean {
  const names = Object.keys(after) as (keyof P)[];
  return (
    names.length === Object.keys(before).length &&
    names.every((name) => before[name] === after[name] || sameList(before[name], after[name]))
  );
}

function sameList(before: unknown, after: unknown): boolean {
  return (
    Array.isArray(before) &&
    Array.isArray(after) &&
    before.length === after.length &&
    before.every((one, at) => one === after[at])
  );
}
