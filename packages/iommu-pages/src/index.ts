export type { ReaderToken } from './epoch.ts';
export type { WalkerDma } from './incoherent.ts';
export { IommuPagesList } from './list.ts';
export { IommuPages, type IommuPagesOptions, NO_NODE, type PagesFailure } from './pages.ts';
