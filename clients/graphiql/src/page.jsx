import { ToolbarMenu, useEditorContext } from "@graphiql/react";
import { setNonce } from "get-nonce";
import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";

import { readExamples } from "./examples.js";
import { createFetcher } from "./fetcher.js";
import { storageWithoutHeaders } from "./storage.js";
import "graphiql/style.css";
import "./page.css";

// Dialogs add a <style> of their own, which the page's Content-Security-Policy admits by this nonce alone.
setNonce(document.currentScript.nonce);

const pageData = JSON.parse(document.getElementById("page-data").textContent);
const examples = readExamples(pageData);
const fetcher = createFetcher(pageData.endpoint);

/** Puts an example into the open tab, for those who closed or changed its own. */
function ExamplesMenu() {
  const { queryEditor, variableEditor, headerEditor } = useEditorContext({ nonNull: true });
  const open = ({ query, variables, headers }) => {
    queryEditor?.setValue(query);
    variableEditor?.setValue(variables);
    headerEditor?.setValue(headers);
  };
  return (
    <ToolbarMenu label="Load an example into this tab" button={<span className="examples-icon">Ex</span>}>
      {examples.map((example) => (
        <ToolbarMenu.Item key={example.name} onSelect={() => open(example)}>
          {example.name}
        </ToolbarMenu.Item>
      ))}
    </ToolbarMenu>
  );
}

function Page() {
  return (
    <GraphiQL
      fetcher={fetcher}
      defaultTabs={examples}
      defaultEditorToolsVisibility
      isHeadersEditorEnabled
      shouldPersistHeaders={false}
      storage={storageWithoutHeaders}
    >
      <GraphiQL.Logo>Turnero</GraphiQL.Logo>
      <GraphiQL.Toolbar>
        {({ prettify, merge, copy }) => (
          <>
            {prettify}
            {merge}
            {copy}
            <ExamplesMenu />
          </>
        )}
      </GraphiQL.Toolbar>
    </GraphiQL>
  );
}

createRoot(document.getElementById("graphiql")).render(<Page />);
