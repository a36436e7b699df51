// What gr.HTML gives to the scripts that run inside it (assets/*.js), and what the page's scripts share.

declare const element: HTMLElement;
declare const props: { value: unknown; label?: string };
declare function trigger(event: string, detail?: object): void;
declare function watch(name: string, changed: () => void): void;

interface Problem {
  problem: string;
}

// Functions of app/widgets/components.py.
declare const server: {
  previews(key: string): Promise<{ previews: [step: number, address: string][] } | Problem>;
  look(asked: { key: string; step: number }): Promise<{ step: number; src: string } | Problem>;
  animation(asked: { key: string; kind: string }): Promise<{ src: string; name: string } | Problem>;
};

interface LatentAtelier {
  isOwner: boolean;
  modelOf(form: string): string;
  parts: Record<string, { key: string; name: string; colour: string }[]>; // what is drawn on each canvas
  restored(
    arrived?: Record<string, Record<string, unknown>>,
    places?: [form: string, name: string, id: string][]
  ): unknown[];
  exportPreset(form: string, name: string, values: Record<string, unknown>): void;
  keep(form: string, values: Record<string, unknown>): object;
  openTab(): string | null;
  save(file: { url: string; name: string } | null): void;
  toggleTheme(): void;
  toggleRail(): void;
  toggleQueue(): void;
  toggleGrid(): void;
  showGrid(on: boolean): void;
  showKeys?(): void;
}

interface Viewport {
  seen: string; // address of the picture that the stage shows; "" where there is none
  zoomable(
    frame: HTMLElement,
    pictures: () => HTMLImageElement[]
  ): { fit(): void; place(): void; own(): void; by(factor: number): void };
  toggleFull(): void;
}

interface Window {
  atelierViewport: Viewport; // of the page itself
  latentAtelier: LatentAtelier;
  gradio_config?: { app_id?: number };
}
